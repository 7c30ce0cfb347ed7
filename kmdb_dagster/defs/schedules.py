"""The schedules. All times are UTC."""

import dagster as dg

from kmdb_dagster.defs.jobs.checks import check_everything
from kmdb_dagster.defs.jobs.questions import answer_questions
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

check_every_night = dg.ScheduleDefinition(
    name="check_every_night",
    job=check_everything,
    cron_schedule="47 4 * * *",
    execution_timezone="UTC",
    description="Makes every check and the report `import_report`, every night.",
)

answer_every_morning = dg.ScheduleDefinition(
    name="answer_every_morning",
    job=answer_questions,
    cron_schedule="17 6 * * *",
    execution_timezone="UTC",
    description="Answers every question of the file KMDB_QUESTIONS, every morning.",
)

SCHEDULES = (cover_the_future, check_every_night)
"""All but `answer_every_morning`, which exists if KMDB_QUESTIONS is set."""
