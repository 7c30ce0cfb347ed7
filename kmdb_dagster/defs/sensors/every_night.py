"""The sensor `every_night`: materializes the unpartitioned assets by their automation conditions."""

import dagster as dg

from kmdb_dagster.dagster_ext.asset_keys import REVISION_ASSETS

every_night = dg.AutomationConditionSensorDefinition(
    "every_night",
    target=dg.AssetSelection.all() - dg.AssetSelection.assets(*REVISION_ASSETS),
    minimum_interval_seconds=60,
    description="Materializes `warehouse`, `filters` and `columnar_facts` with their checks every night, "
    "`import_report` after them, and saved questions at their schedule. Turn it on once there is data.",
)
