"""The time partitions of the tables: shown, added, dropped. Each job is a dry run until it is told otherwise."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from pydantic import Field

from kmdb_dagster.dagster_ext.failures import plainly
from kmdb_dagster.defs.confirmation import Confirmation, require_confirmation
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.settings import Settings, missing_setting
from kmdb_dagster.warehouse.maintenance.retention import apply_drop, read_drop
from kmdb_dagster.warehouse.maintenance.time_partitions import TABLES, Partition, apply_plans, plan_all

# What changes tables waits for what else changes tables.
DDL_TAGS = {"kmdb/ddl": "true"}

MOST_SHOWN = 200


class PartitionOptions(dg.Config):
    """How far to go."""

    dry_run: bool = Field(default=True, description="Only show the statements.")


class DropOptions(PartitionOptions, Confirmation):
    """What to drop, and how far to go."""

    before: str = Field(
        default="",
        description="Drop the partitions that hold nothing of this day and later, e.g. 2024-01-01. Empty: what is "
        "older than KMDB_KEEP_DAYS.",
    )


@dg.op
def add_partitions(context: dg.OpExecutionContext, config: PartitionOptions, kmdb: Kmdb) -> None:
    """Plan the time partitions that are missing, and add them unless this is a dry run."""
    with plainly(), kmdb.warehouse() as warehouse:
        settings = kmdb.settings()
        plans = plan_all(
            warehouse.engine,
            min_date=settings.min_date,
            max_date=settings.max_date,
            days=settings.days_per_partition,
            today=today(),
        )
        counts = {plan.table: len(plan.bounds) for plan in plans}
        _show(context, config, [statement for plan in plans for statement in plan.statements()])
        context.add_output_metadata({"to_add" if config.dry_run else "added": counts})
        if not config.dry_run:
            apply_plans(warehouse.engine, plans)


@dg.op
def drop_old_partitions(context: dg.OpExecutionContext, config: DropOptions, kmdb: Kmdb) -> None:
    """Plan what is to be dropped, show its rows and bytes, and drop it unless this is a dry run."""
    with plainly(), kmdb.warehouse() as warehouse:
        if not config.dry_run:
            require_confirmation(config, warehouse, "drop facts")
        drop = read_drop(warehouse.engine, _day(config.before) or _oldest_kept(kmdb.settings()))
        _show(context, config, drop.statements())
        context.add_output_metadata(
            {
                "facts_kept_from": str(drop.day or "as before"),
                "to_drop" if config.dry_run else "dropped": partition_map(drop.partitions),
                "bytes": drop.bytes,
            }
        )
        if not config.dry_run:
            apply_drop(warehouse.engine, drop)


@dg.job(
    tags=DDL_TAGS,
    config=dg.RunConfig(ops={"add_partitions": PartitionOptions()}),
    description="Adds time partitions up to KMDB_MAX_DATE (or 90 days from today). A dry run shows the statements.",
)
def partition_tables() -> None:
    """Time partitions."""
    add_partitions()


@dg.job(
    tags=DDL_TAGS,
    config=dg.RunConfig(ops={"drop_old_partitions": DropOptions()}),
    description="Drops the facts before a day, by whole time partitions. A dry run shows which, with rows and bytes. "
    "The Parquet of the revisions stays, and so do people and their aliases. With `dry_run: false` it needs "
    "`confirm`, the name of the database.",
)
def drop_partitions() -> None:
    """Old facts."""
    drop_old_partitions()


def partition_map(partitions: Sequence[Partition]) -> dg.TableMetadataValue:
    """The rows and bytes of each partition, of all tables side by side; only the latest if there are very many."""
    tables = [table for table in TABLES if any(partition.table == table for partition in partitions)]
    columns = [
        dg.TableColumn("partition", "string"),
        dg.TableColumn("before", "string"),
        *(dg.TableColumn(f"{table}_{what}", "int") for table in tables for what in ("rows", "bytes")),
    ]
    # A table may lack what others have: old facts are dropped, old aliases never.
    nothing: dict[str, str | int] = {column.name: 0 for column in columns[2:]}
    records = [dg.TableRecord(nothing | row) for row in _side_by_side(partitions)[-MOST_SHOWN:]]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def today() -> date:
    """By the clock of the data."""
    return datetime.now(UTC).date()


def _side_by_side(partitions: Iterable[Partition]) -> list[dict[str, str | int]]:
    rows: dict[tuple[date, str], dict[str, str | int]] = {}
    for part in partitions:
        until = str(part.before or "later")
        row = rows.setdefault((part.before or date.max, part.name), {"partition": part.name, "before": until})
        row |= {f"{part.table}_rows": part.rows, f"{part.table}_bytes": part.bytes}
    return [rows[key] for key in sorted(rows)]


def _show(context: dg.OpExecutionContext, config: PartitionOptions, statements: Sequence[str]) -> None:
    for statement in statements:
        context.log.info(statement)
    end = "A dry run: nothing is changed." if config.dry_run else "They are carried out now."
    context.log.info("%d statements. %s", len(statements), end)
    shown = "\n".join(f"```sql\n{line}\n```" for line in statements) or "none"
    context.add_output_metadata({"dry_run": config.dry_run, "statements": dg.MetadataValue.md(shown)})


def _day(words: str) -> date | None:
    try:
        return date.fromisoformat(words) if words else None
    except ValueError:
        raise PermanentError(f"`before` is {words!r}. Expected a day, e.g. 2024-01-01.") from None


def _oldest_kept(settings: Settings) -> date:
    if settings.keep_days is None:
        raise missing_setting("KMDB_KEEP_DAYS")
    return today() - timedelta(days=settings.keep_days)
