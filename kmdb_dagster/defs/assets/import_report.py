"""The asset `import_report`: charts of the import."""

import dagster as dg

from kmdb_dagster.dagster_ext.asset_keys import WAREHOUSE
from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.dagster_ext.metadata import picture_links
from kmdb_dagster.dagster_ext.run_ranges import loaded_ranges
from kmdb_dagster.defs.automation_conditions import AFTER_THE_WAREHOUSE, FRESH
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.report.figures import Run
from kmdb_dagster.report.import_charts import draw_import
from kmdb_dagster.warehouse.ledger.history import read_first_seen, read_history

MAX_RUNS = 300


@dg.asset(
    deps=[WAREHOUSE],
    kinds={"mysql", "matplotlib"},
    automation_condition=AFTER_THE_WAREHOUSE,
    freshness_policy=FRESH,
    description="Charts of the import: lines a day, rejected lines, people, the age of the newest fact, the speed of "
    "runs. They are in the metadata of the latest materialization: `pictures` at once, `charts` with their titles.\n\n"
    "**Materialize** draws them again. [How to read them](docs/reference/metrics.md#the-report).",
)
def import_report(context: dg.AssetExecutionContext, kmdb: Kmdb) -> dg.MaterializeResult[None]:
    """Read the ledger, the people and the latest runs."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        history, first_seen = read_history(warehouse.engine), read_first_seen(warehouse.engine)
        charts = draw_import(history, first_seen, [Run(*run) for run in loaded_ranges(context.instance, MAX_RUNS)])
    return dg.MaterializeResult(metadata={**picture_links(context, charts), "charts": dg.MetadataValue.md(charts)})
