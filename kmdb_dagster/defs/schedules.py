"""The schedules. All times are UTC. When questions, checks and report are made is in `automation_conditions`."""

import dagster as dg

from kmdb_dagster.defs.jobs.history import PurgeOptions, purge_history
from kmdb_dagster.defs.jobs.tables import PartitionOptions, partition_tables

cover_the_future = dg.ScheduleDefinition(
    name="cover_the_future",
    job=partition_tables,
    cron_schedule="17 3 * * *",
    execution_timezone="UTC",
    run_config=dg.RunConfig(ops={"add_partitions": PartitionOptions(dry_run=False)}),
    description="Adds time partitions every night, so that no new row lands in the overflow partition. Turn it on "
    "once the tables are partitioned.",
)

purge_every_night = dg.ScheduleDefinition(
    name="purge_every_night",
    job=purge_history,
    cron_schedule="17 5 * * *",
    execution_timezone="UTC",
    run_config=dg.RunConfig(ops={"purge_old_runs": PurgeOptions(dry_run=False)}),
    description="Deletes runs and backfills from Dagster's history that ended more than KMDB_KEEP_HISTORY_DAYS ago.",
)

SCHEDULES = (cover_the_future, purge_every_night)
