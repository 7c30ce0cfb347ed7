"""The job that makes every check of all imported data, the report, and the asset `filters`."""

import dagster as dg

from kmdb_dagster.defs.asset_checks import CHECKS
from kmdb_dagster.defs.assets.filters import filters
from kmdb_dagster.defs.assets.import_report import import_report
from kmdb_dagster.defs.assets.warehouse import warehouse

check_everything = dg.define_asset_job(
    "check_everything",
    selection=dg.AssetSelection.assets(warehouse, filters, import_report) | dg.AssetSelection.checks(*CHECKS),
    description="Materializes `warehouse`, `filters` and `import_report`, and makes every check of all imported data. "
    "It reads both large tables.",
)
