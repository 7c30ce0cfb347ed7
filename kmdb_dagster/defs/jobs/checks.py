"""The job that makes every check of all imported data, and the report."""

import dagster as dg

from kmdb_dagster.defs import revision_checks
from kmdb_dagster.defs.asset_checks import CHECKS
from kmdb_dagster.defs.assets.import_report import import_report

check_everything = dg.define_asset_job(
    "check_everything",
    selection=dg.AssetSelection.checks(*CHECKS, *(spec.key for spec in revision_checks.SPECS))
    | dg.AssetSelection.assets(import_report),
    description="Makes every check of all imported data, and the asset `import_report`. It reads both large tables.",
)
