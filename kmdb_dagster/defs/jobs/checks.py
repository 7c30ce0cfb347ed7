"""The job that makes every check of the whole warehouse, and the report."""

import dagster as dg

from kmdb_dagster.defs.asset_checks import CHECKS
from kmdb_dagster.defs.assets.import_report import import_report
from kmdb_dagster.defs.assets.warehouse import warehouse

check_everything = dg.define_asset_job(
    "check_everything",
    selection=dg.AssetSelection.assets(warehouse, import_report) | dg.AssetSelection.checks(*CHECKS),
    description="Materializes `warehouse` and `import_report`, and makes every check of all imported data. It reads "
    "both large tables.",
)
