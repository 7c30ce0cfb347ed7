"""What happens by the clock."""

import dagster as dg

from kmdb_dagster.defs.checks import check_people
from kmdb_dagster.defs.partitioning import PartitionOptions, partition_tables

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
    job=check_people,
    cron_schedule="47 4 * * *",
    execution_timezone="UTC",
    description="Checks every night that each fact is under its person, and which people look like strangers made one.",
)

SCHEDULES = [cover_the_future, check_every_night]
