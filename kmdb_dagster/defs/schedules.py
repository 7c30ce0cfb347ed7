"""What happens by the clock, and the job of the night."""

import dagster as dg

from kmdb_dagster.defs import revision_checks
from kmdb_dagster.defs.asset_checks import CHECKS
from kmdb_dagster.defs.report import import_report
from kmdb_dagster.defs.table_partitions import PartitionOptions, partition_tables

check_everything = dg.define_asset_job(
    "check_everything",
    selection=dg.AssetSelection.checks(*CHECKS, *(spec.key for spec in revision_checks.SPECS))
    | dg.AssetSelection.assets(import_report),
    description="Makes every check, of all that is in, and the report. It reads both large tables.",
)

cover_the_future = dg.ScheduleDefinition(
    name="cover_the_future",
    job=partition_tables,
    cron_schedule="17 3 * * *",
    execution_timezone="UTC",
    run_config=dg.RunConfig(ops={"add_partitions": PartitionOptions(dry_run=False)}),
    description="Adds time partitions every night, so that no new row lands in the overflow partition. Turn it on "
    "once the tables are partitioned.",
)

check_every_night = dg.ScheduleDefinition(
    name="check_every_night",
    job=check_everything,
    cron_schedule="47 4 * * *",
    execution_timezone="UTC",
    description="Makes every check and the report `import_report`, every night.",
)

SCHEDULES = [cover_the_future, check_every_night]
