"""The jobs that change tables: add and drop time partitions, drop and build indexes.

The jobs for partitions are a dry run unless their configuration says `dry_run: false`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from pydantic import Field

from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.dagster_ext.metadata import new_partitions_table, sql_statements, time_partitions_table
from kmdb_dagster.dagster_ext.progress_log import ProgressLog
from kmdb_dagster.defs.jobs.confirmation import Confirmation, require_confirmation
from kmdb_dagster.defs.jobs.tags import DDL_TAGS, DDL_UNLESS_DRY_RUN_TAGS
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import RequestError
from kmdb_dagster.pipeline.bucket_scan import advise_time_partitions
from kmdb_dagster.settings import Settings, missing_setting
from kmdb_dagster.warehouse.identity.user_map import move_facts
from kmdb_dagster.warehouse.maintenance import indexes
from kmdb_dagster.warehouse.maintenance.retention import apply_drop, read_drop
from kmdb_dagster.warehouse.maintenance.time_partitions import (
    Bound,
    Partition,
    apply_plans,
    named_partitions,
    plan_all,
)
from kmdb_dagster.warehouse.schema.tables import FACTS
from kmdb_dagster.wording import counted


class PartitionOptions(dg.Config):
    """Options of `partition_tables`."""

    dry_run: bool = Field(default=True, description="Only show what would be done.")
    sql: bool = Field(default=False, description="Also show the statements. They name every partition.")


class DropOptions(PartitionOptions, Confirmation):
    """Options of `drop_partitions`."""

    before: str = Field(
        default="",
        description="Drop the time partitions whose facts are all before this day, e.g. 2024-01-01. Empty: the facts "
        "older than KMDB_KEEP_DAYS.",
    )


@dg.op
def add_partitions(context: dg.OpExecutionContext, config: PartitionOptions, kmdb: Kmdb) -> None:
    """Plan the missing time partitions, and add them unless this is a dry run."""
    with as_dagster_failure(dry_run=config.dry_run), kmdb.warehouse() as warehouse:
        settings = kmdb.settings()
        plans = plan_all(
            warehouse.engine,
            min_date=settings.min_date,
            max_date=settings.max_date,
            days=settings.days_per_partition,
            today=today(),
        )
        _show(context, config, [statement for plan in plans for statement in plan.statements()])
        _log_partitions(context, "to add", {plan.table: plan.bounds for plan in plans})
        context.add_output_metadata({"to_add" if config.dry_run else "added": new_partitions_table(plans)})
        if config.dry_run and (advice := advise_time_partitions(kmdb.bucket, plans[0], settings)):
            context.log.info("%s", advice)
            context.add_output_metadata({"advice": advice})
        if not config.dry_run:
            apply_plans(warehouse.engine, plans)


@dg.op
def drop_old_partitions(context: dg.OpExecutionContext, config: DropOptions, kmdb: Kmdb) -> None:
    """Plan which time partitions to drop, show their rows and bytes, and drop them unless this is a dry run."""
    with as_dagster_failure(dry_run=config.dry_run), kmdb.warehouse() as warehouse:
        if not config.dry_run:
            require_confirmation(config, warehouse, "drop facts")
        drop = read_drop(warehouse.engine, _day(config.before) or _oldest_kept(kmdb.settings()))
        _show(context, config, drop.statements())
        _log_partitions(
            context, "to drop", {table: [part for part in drop.partitions if part.table == table] for table in FACTS}
        )
        context.add_output_metadata(
            {
                "facts_kept_from": str(drop.day or "as before"),
                "to_drop" if config.dry_run else "dropped": time_partitions_table(drop.partitions),
                "bytes": drop.bytes,
            }
        )
        if not config.dry_run:
            apply_drop(warehouse.engine, drop)


@dg.job(
    tags=DDL_UNLESS_DRY_RUN_TAGS,
    config=dg.RunConfig(ops={"add_partitions": PartitionOptions()}),
    description="Adds time partitions up to KMDB_MAX_DATE (or 90 days from today). A dry run shows how "
    "many, and advises how long they should be.",
)
def partition_tables() -> None:
    """Add time partitions."""
    add_partitions()


@dg.job(
    tags=DDL_UNLESS_DRY_RUN_TAGS,
    config=dg.RunConfig(ops={"drop_old_partitions": DropOptions()}),
    description="Drops the facts before a day, by whole time partitions. A dry run shows which, with rows and bytes. "
    "The Parquet of the revisions stays, and so do people and their aliases. With `dry_run: false` it needs "
    "`confirm`, the name of the database.",
)
def drop_partitions() -> None:
    """Drop old facts."""
    drop_old_partitions()


@dg.op
def drop_secondary_indexes(context: dg.OpExecutionContext, kmdb: Kmdb) -> None:
    """Drop the secondary indexes of `events` and `properties`."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        context.add_output_metadata({"statements": indexes.drop(warehouse.engine)})


@dg.job(
    tags=DDL_TAGS,
    description="Drops the secondary indexes of `events` and `properties`, before you import a long history. Run "
    "`build_indexes` afterwards.",
)
def drop_indexes() -> None:
    """Drop the secondary indexes."""
    drop_secondary_indexes()


@dg.op
def build_missing_indexes(context: dg.OpExecutionContext, kmdb: Kmdb) -> None:
    """Build the missing indexes, then move the facts whose move is pending."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        statements = indexes.build(warehouse.engine)
        moved = move_facts(warehouse.engine, ProgressLog(context.log.info))
    context.add_output_metadata({"statements": statements, "identities_whose_facts_moved": moved})


@dg.job(
    tags=DDL_TAGS,
    description="Builds the missing secondary indexes of `events` and `properties`. Imports wait until it ends.",
)
def build_indexes() -> None:
    """Build the missing indexes."""
    build_missing_indexes()


def today() -> date:
    """Return the day in UTC, the time zone of the data."""
    return datetime.now(UTC).date()


def _show(context: dg.OpExecutionContext, config: PartitionOptions, statements: Sequence[str]) -> None:
    end = "A dry run: nothing is changed." if config.dry_run else "Running them now."
    context.log.info("%s. %s", counted(len(statements), "statement"), end)
    context.add_output_metadata({"dry_run": config.dry_run})
    if config.sql:
        context.add_output_metadata({"statements": sql_statements(statements)})


def _log_partitions(
    context: dg.OpExecutionContext, what: str, partitions: Mapping[str, Sequence[Bound | Partition]]
) -> None:
    for table, found in partitions.items():
        named = f": {named_partitions(found)}" if found else ""
        context.log.info("%s: %s %s%s.", table, counted(len(found), "partition"), what, named)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise RequestError(f"`before` is {text!r}. Expected a day, e.g. 2024-01-01.") from None


def _oldest_kept(settings: Settings) -> date:
    if settings.keep_days is None:
        raise missing_setting("KMDB_KEEP_DAYS")
    return today() - timedelta(days=settings.keep_days)
