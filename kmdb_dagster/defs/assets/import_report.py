"""The asset `import_report`: charts of the import, and the size of the tables."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from kmdb_dagster.dagster_ext.asset_keys import EVENTS, PROPERTIES, USER_MAP
from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.dagster_ext.metadata import time_partitions_table
from kmdb_dagster.dagster_ext.run_ranges import loaded_ranges
from kmdb_dagster.defs.assets.revisions import OWNERS
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.report.figures import Run
from kmdb_dagster.report.import_charts import draw_import
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.ledger.history import read_first_seen, read_history
from kmdb_dagster.warehouse.maintenance.retention import read_drop
from kmdb_dagster.warehouse.maintenance.time_partitions import read_partitions

MAX_RUNS = 300


@dg.asset(
    deps=[EVENTS, PROPERTIES, USER_MAP],
    group_name="operations",
    kinds={"mysql", "matplotlib"},
    owners=OWNERS,
    description="Charts of the import (`charts`), and the size of the tables (`partitions`). "
    "docs/reference/metrics.md explains them. Materialize it to see the current state.",
)
def import_report(context: dg.AssetExecutionContext, kmdb: Kmdb) -> dg.MaterializeResult[None]:
    """Read the ledger, the people, the time partitions and the latest runs."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        history, first_seen = read_history(warehouse.engine), read_first_seen(warehouse.engine)
        charts = draw_import(history, first_seen, [Run(*run) for run in loaded_ranges(context.instance, MAX_RUNS)])
        totals = ledger.totals(warehouse.engine)
        with transaction(warehouse.engine) as connection:
            partitions = read_partitions(connection)
        keep_days = kmdb.settings().keep_days
        oldest_kept = datetime.now(UTC).date() - timedelta(days=keep_days or 0)
        drop = read_drop(warehouse.engine, oldest_kept) if keep_days else None
    return dg.MaterializeResult(
        metadata={
            "charts": dg.MetadataValue.md(charts),
            "partitions": time_partitions_table(partitions),
            "bytes": sum(partition.bytes for partition in partitions),
            "revisions": totals.revisions,
            "failed": totals.failed,
            "events_rows": totals.events,
            "properties_rows": totals.properties,
            "made_at": dg.MetadataValue.timestamp(datetime.now(UTC)),
            **({"old_bytes_that_may_go": drop.bytes} if drop else {}),
        }
    )
