"""Retention of old facts: drops whole time partitions of ``events`` and ``properties``. Plan, show, apply.

Retention does not apply to `aliases`, since identity resolution needs all of them, nor to the Parquet in the lake.
Why it is safe beside imports: docs/decisions/0018-retention.md.
"""

import logging
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.warehouse.connection.server import autocommit, execute_ddl, transaction
from kmdb_dagster.warehouse.maintenance.time_partitions import Partition, read_partitions
from kmdb_dagster.warehouse.schema.row_ids import ORDINAL_BITS, id_range
from kmdb_dagster.warehouse.schema.state_rows import required
from kmdb_dagster.warehouse.schema.tables import FACTS

log = logging.getLogger(__name__)

STRADDLING = "SELECT revision FROM revisions WHERE t_min < :day AND t_max >= :day ORDER BY revision"
WHOLLY_OLD = (
    "UPDATE revisions SET events = 0, property_sets = 0, properties = 0, t_min = NULL, t_max = NULL WHERE t_max < :day"
)


CLAIM = "SELECT t_max FROM revisions WHERE revision = :revision FOR UPDATE"
RANGE = "id BETWEEN :first AND :last AND t BETWEEN :day AND :t_max"
KEPT = (
    f"SELECT (SELECT COUNT(*) FROM events WHERE {RANGE}) AS events, COUNT(*) AS properties, "  # noqa: S608 - ours
    f"COUNT(DISTINCT IF(event_id IS NULL, id >> {ORDINAL_BITS}, NULL)) AS property_sets FROM properties WHERE {RANGE}"
)
RECORD = (
    "UPDATE revisions SET events = :events, property_sets = :property_sets, properties = :properties, t_min = :day "
    "WHERE revision = :revision AND t_min < :day AND t_max >= :day"
)


class Drop(NamedTuple):
    """A plan: drop the facts before ``day`` with these partitions. Without a day, drop nothing."""

    day: date | None
    partitions: tuple[Partition, ...]

    @property
    def bytes(self) -> int:
        """The estimated size of these partitions."""
        return sum(partition.bytes for partition in self.partitions)

    def statements(self) -> list[str]:
        """Render the DDL; none if there is nothing to do."""
        names = {table: [part.name for part in self.partitions if part.table == table] for table in FACTS}
        return [f"ALTER TABLE {table} DROP PARTITION {', '.join(names[table])}" for table in FACTS if names[table]]


def plan_drop(existing: Sequence[Partition], before: date, in_force: date | None = None) -> Drop:
    """Plan to drop the partitions that hold only facts older than ``before``.

    The last bounded one of a table always stays: partitions that are added later go on from it.

    Args:
        existing: the partitions that there are.
        before: what is older may go.
        in_force: the day of an earlier drop, which may have broken off: what is left before it goes, too.
    """
    bounded = {table: [part for part in existing if part.table == table and part.before][:-1] for table in FACTS}
    old = {table: [part for part in parts if part.before and part.before <= before] for table, parts in bounded.items()}
    # A bound that all tables share, so that no table keeps older facts.
    common = set.intersection(*({part.before for part in parts} for parts in old.values()))
    days = [day for day in (*common, in_force) if day]
    if not days:
        return Drop(None, ())
    day = max(days)
    going = [part for parts in bounded.values() for part in parts if part.before and part.before <= day]
    return Drop(day, tuple(going)) if going else Drop(None, ())


def read_drop(engine: Engine, before: date) -> Drop:
    """Plan a drop from the current partitions of the server."""
    with autocommit(engine) as connection:
        in_force = facts_from(connection)
        return plan_drop(read_partitions(connection), before, in_force.date() if in_force else None)


def facts_from(connection: Connection) -> datetime | None:
    """Return the time from which facts are kept, or None if all are."""
    found: datetime | None = connection.execute(text("SELECT facts_from FROM warehouse_state WHERE id = 1")).scalar()
    return found


def apply_drop(engine: Engine, drop: Drop) -> None:
    """Apply a plan. Safe during imports, and idempotent after an interruption."""
    if drop.day is None:
        return
    day = datetime.combine(drop.day, time())
    _keep_out(engine, day)
    _settle_ledger(engine, day)
    for statement in drop.statements():
        log.info("%s", statement)
        execute_ddl(engine, statement)


def _keep_out(engine: Engine, day: datetime) -> None:
    """Record the day, so that no load adds older facts. Waits for running loads, which hold this row."""
    with transaction(engine) as connection:
        row = connection.execute(text("SELECT id FROM warehouse_state WHERE id = 1 FOR UPDATE")).scalar()
        required("warehouse_state", row)
        connection.execute(
            text("UPDATE warehouse_state SET facts_from = GREATEST(COALESCE(facts_from, :day), :day) WHERE id = 1"),
            {"day": day},
        )


def _settle_ledger(engine: Engine, day: datetime) -> None:
    """Reduce the counts in the ledger to the facts that are kept, one transaction per revision, so imports continue."""
    with transaction(engine) as connection:
        connection.execute(text(WHOLLY_OLD), {"day": day})
        straddling: Sequence[int] = connection.execute(text(STRADDLING), {"day": day}).scalars().all()
    for revision in straddling:
        with transaction(engine) as connection:
            # The row is locked. If the revision was loaded meanwhile, its span starts later and nothing changes.
            t_max = connection.execute(text(CLAIM), {"revision": revision}).scalar_one()
            kept = connection.execute(text(KEPT), {**id_range(revision), "day": day, "t_max": t_max}).one()
            connection.execute(text(RECORD), {**kept._asdict(), "revision": revision, "day": day})
