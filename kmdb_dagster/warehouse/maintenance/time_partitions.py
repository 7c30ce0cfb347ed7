"""Time partitions: plan (pure), render the statements, apply. A dry run is the same path without the last step.

Each of the three tables ends with an overflow partition, ``future``: a row later than the last bound is never
refused. Splitting it moves what it holds, so it is best kept empty; a schedule sees to that.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, Engine, bindparam, text

from kmdb_dagster.errors import SettingsError
from kmdb_dagster.warehouse.connection.server import autocommit, execute_ddl

log = logging.getLogger(__name__)

PARTITIONED_TABLES = ("events", "properties", "aliases")
OVERFLOW = "future"
BEFORE = "past"

MAX_PARTITIONS = 8000
"""MySQL and MariaDB allow 8,192 partitions a table (MySQL 8.4 Reference Manual, 26.6); km-db's README says 1,024,
which was the limit before MySQL 5.6.7."""

MAX_PARTITIONS_NAMED = 5

HORIZON = timedelta(days=90)
"""How far ahead partitions are made where KMDB_MAX_DATE does not say."""


class Partition(NamedTuple):
    """A partition on the server. ``before`` is its upper bound, exclusive; None for the overflow."""

    table: str
    name: str
    before: date | None
    rows: int
    bytes: int


class Bound(NamedTuple):
    """A partition to create: from the previous bound up to this day, exclusive."""

    name: str
    before: date


class Plan(NamedTuple):
    """The partitions to add to one table."""

    table: str
    existing: int
    bounds: tuple[Bound, ...]

    def statements(self) -> list[str]:
        """The DDL, none if there is nothing to do."""
        if not self.bounds:
            return []
        parts = [f"PARTITION {bound.name} VALUES LESS THAN ('{bound.before}')" for bound in self.bounds]
        parts.append(f"PARTITION {OVERFLOW} VALUES LESS THAN (MAXVALUE)")
        return [f"ALTER TABLE {self.table} REORGANIZE PARTITION {OVERFLOW} INTO ({', '.join(parts)})"]

    @property
    def days(self) -> int:
        """The days that the first partitions of a table divide; 0 if it has bounded ones already."""
        is_first = self.existing <= 1 and self.bounds
        return (self.bounds[-1].before - self.bounds[0].before).days if is_first else 0


def named_partitions(partitions: Sequence[Bound | Partition]) -> str:
    """Name partitions with their bounds; of many, the first two and the last one."""
    names = [f"{partition.name} (before {partition.before})" for partition in partitions]
    return ", ".join(names if len(names) <= MAX_PARTITIONS_NAMED else [*names[:2], "…", names[-1]])


def plan_table(table: str, existing: Sequence[Partition], *, min_date: date | None, max_date: date, days: int) -> Plan:
    """Plan the missing partitions of a table up to ``max_date``.

    The first time, they start at ``min_date``, with one more for all that comes before. Later ``min_date`` is
    ignored, and they go on from the last one.

    Args:
        table: the name of the table.
        existing: its partitions.
        min_date: where the first partition starts; used only if there is none yet.
        max_date: the day that the last partition has to cover, exclusive.
        days: the length of a partition.

    Raises:
        SettingsError: there is no ``min_date`` the first time, the dates are the wrong way round, or the table
            would have too many partitions.
    """
    last = max((partition.before for partition in existing if partition.before), default=None)
    bounds = tuple(_bounds(last, min_date, max_date, days))
    if len(existing) + len(bounds) > MAX_PARTITIONS:
        raise SettingsError(
            f"{table} would have {len(existing) + len(bounds)} partitions; the server allows 8,192 and this program "
            f"{MAX_PARTITIONS}. KMDB_DAYS_PER_PARTITION is {days}: make it larger, or KMDB_MAX_DATE ({max_date}) "
            "earlier."
        )
    return Plan(table, len(existing), bounds)


def _bounds(last: date | None, min_date: date | None, max_date: date, days: int) -> Iterator[Bound]:
    if last is None:
        if min_date is None:
            raise SettingsError("KMDB_MIN_DATE is not set. The first partitioning needs it, e.g. 2014-01-01.")
        if min_date >= max_date:
            raise SettingsError(f"KMDB_MIN_DATE ({min_date}) is not before KMDB_MAX_DATE ({max_date}).")
        yield Bound(BEFORE, min_date)
        last = min_date
    while last < max_date:
        # The calendar ends with the year 9999: the last partition is shorter.
        following = last + min(timedelta(days=days), date.max - last)
        yield Bound(f"p{last:%Y%m%d}", following)
        last = following


def covered_until(existing: Iterable[Partition]) -> date | None:
    """Return the day up to which all tables have partitions, or None if one has none."""
    last: dict[str, date] = {}
    for partition in existing:
        if partition.before:
            last[partition.table] = max(partition.before, last.get(partition.table, partition.before))
    return min(last.values()) if len(last) == len(PARTITIONED_TABLES) else None


def overflowing(connection: Connection, before: date) -> list[str]:
    """Return the tables with rows after their last bound and before a day.

    Later rows come from visitors whose clocks are wrong. No partition is made for them.
    """
    found = "SELECT 1 FROM {table} PARTITION ({overflow}) WHERE t < :before LIMIT 1"
    looked = {table: text(found.format(table=table, overflow=OVERFLOW)) for table in PARTITIONED_TABLES}
    return [table for table, statement in looked.items() if connection.execute(statement, {"before": before}).first()]


def read_partitions(connection: Connection) -> list[Partition]:
    """Read the partitions of the three tables, in order. Rows and bytes are the server's estimates."""
    found = connection.execute(
        text(
            "SELECT TABLE_NAME, PARTITION_NAME, PARTITION_DESCRIPTION, TABLE_ROWS, DATA_LENGTH + INDEX_LENGTH "
            "FROM INFORMATION_SCHEMA.PARTITIONS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN :tables "
            "AND PARTITION_NAME IS NOT NULL ORDER BY TABLE_NAME, PARTITION_ORDINAL_POSITION"
        ).bindparams(bindparam("tables", PARTITIONED_TABLES, expanding=True))
    )
    return [
        Partition(str(table), str(name), _day(description), int(rows or 0), int(size or 0))
        for table, name, description, rows, size in found
    ]


def plan_all(engine: Engine, *, min_date: date | None, max_date: date | None, days: int, today: date) -> list[Plan]:
    """Plan the missing partitions of each table from the current ones of the server.

    Args:
        engine: the warehouse.
        min_date: where the first partition starts; used only if there is none yet.
        max_date: the day to cover, exclusive; None for `HORIZON` after ``today``.
        days: the length of a partition.
        today: the current day in UTC.
    """
    with autocommit(engine) as connection:
        existing = read_partitions(connection)
    return [
        plan_table(
            table,
            [partition for partition in existing if partition.table == table],
            min_date=min_date,
            max_date=max_date or today + HORIZON,
            days=days,
        )
        for table in PARTITIONED_TABLES
    ]


def apply_plans(engine: Engine, plans: Iterable[Plan]) -> list[str]:
    """Apply plans. Return the statements that were run.

    Safe while imports go on: the server lets running transactions finish first.
    """
    done = []
    for plan in plans:
        for statement in plan.statements():
            log.info("%s: adding %d partitions, %s and later", plan.table, len(plan.bounds), plan.bounds[0].before)
            execute_ddl(engine, statement)
            done.append(statement)
    return done


def _day(description: str | bytes | None) -> date | None:
    words = description.decode() if isinstance(description, bytes) else str(description)
    return None if words == "MAXVALUE" else date.fromisoformat(words.strip("'")[:10])
