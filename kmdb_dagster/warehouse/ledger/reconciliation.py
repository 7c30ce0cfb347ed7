"""Reconcile the tables of facts with the counts in the ledger, for some revisions or for all.

Reconciling a revision locks its row of the ledger, so no load changes either side meanwhile.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, text

from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.ledger.consistency import import_commands
from kmdb_dagster.warehouse.maintenance.time_partitions import read_partitions
from kmdb_dagster.warehouse.schema.row_ids import LINE_BITS, ORDINAL_BITS, id_range
from kmdb_dagster.warehouse.schema.tables import FACTS

EVER = datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 - as the server has it
MAX_MISMATCHES = 100

MAX_DELETIONS = 10
DELETION = "DELETE FROM {table} WHERE id BETWEEN {first} AND {last};"

LEDGER = "SELECT revision, events, properties, t_min, t_max FROM revisions"
HELD = (
    "SELECT events, properties, t_min, t_max FROM revisions "
    "WHERE revision = :revision AND imported_at IS NOT NULL LOCK IN SHARE MODE"
)
OF_REVISION = "SELECT COUNT(*) FROM {table} WHERE id BETWEEN :first AND :last AND t BETWEEN :t_min AND :t_max"
OF_PARTITION = (
    f"SELECT id >> {LINE_BITS + ORDINAL_BITS}, COUNT(*), MIN(t), MAX(t) FROM {{table}} PARTITION ({{name}}) GROUP BY 1"  # noqa: S608 - ours
)


class Counts(NamedTuple):
    """Rows of `events` and of `properties`."""

    events: int
    properties: int


class RowSpan(NamedTuple):
    """The rows of a revision in a table: their number, and the first and last time."""

    rows: int
    first: datetime
    last: datetime

    def with_more(self, other: "RowSpan | None") -> "RowSpan":
        """Add the rows of another time partition."""
        if other is None:
            return self
        return RowSpan(self.rows + other.rows, min(self.first, other.first), max(self.last, other.last))


class Mismatch(NamedTuple):
    """A revision whose rows in the tables differ from the counts or the span in the ledger."""

    revision: int
    ledger: Counts
    tables: Counts


def reconcile(engine: Engine, revisions: Iterable[int]) -> list[Mismatch]:
    """Compare these revisions, within the time partitions that the ledger names. As fast as reading their rows."""
    return [wrong for revision in revisions if (wrong := _look(engine, revision, everywhere=False))]


def reconcile_all(engine: Engine) -> list[Mismatch]:
    """Compare the counts of every revision with the tables, one time partition at a time.

    Imports may go on: a revision that does not seem to agree is counted again on its own. Returns at
    most `MAX_MISMATCHES` revisions.
    """
    found = {table: _by_revision(engine, table) for table in FACTS}
    with transaction(engine) as connection:
        said = {row.revision: row for row in connection.execute(text(LEDGER))}
    suspects = (
        revision
        for revision in sorted(said.keys() | set().union(*found.values()))
        if not _agree(said.get(revision), *(found[table].get(revision) for table in FACTS))
    )
    return list(islice(_confirmed(engine, suspects), MAX_MISMATCHES))


def _agree(said: Row[Any] | None, *seen: "RowSpan | None") -> bool:
    """Return whether the rows of a revision match the count and the span in the ledger."""
    if said is None:
        return not any(seen)
    counts = tuple(part.rows if part else 0 for part in seen)
    return counts == (said.events, said.properties) and all(
        said.t_min and said.t_max and said.t_min <= part.first and part.last <= said.t_max for part in seen if part
    )


def repair(wrong: Sequence[Mismatch]) -> str:
    """Render the repair: imports, and a DELETE for rows of revisions that the bucket lacks."""
    stray = [found.revision for found in wrong if found.ledger == Counts(0, 0)]
    deletions = [DELETION.format(table=table, **id_range(revision)) for revision in stray for table in FACTS]
    commands = import_commands(found.revision for found in wrong if found.revision)
    if not deletions:
        return commands
    unless = "If the bucket does not have the revision: " if commands else ""
    return f"{commands} {unless}{' '.join(deletions[:MAX_DELETIONS])}".strip()


def count(connection: Connection, revision: int, t_min: datetime, t_max: datetime) -> Counts:
    """Count the rows of a revision between two times.

    Args:
        connection: a transaction.
        revision: the revision.
        t_min: the earliest time, inclusive, UTC.
        t_max: the latest time, inclusive, UTC.
    """
    where = {**id_range(revision), "t_min": t_min, "t_max": t_max}
    return Counts(*(connection.execute(text(OF_REVISION.format(table=table)), where).scalar_one() for table in FACTS))


def _confirmed(engine: Engine, suspects: Iterable[int]) -> Iterator[Mismatch]:
    for revision in suspects:
        wrong = _look(engine, revision, everywhere=True)
        if wrong:
            yield wrong


def _look(engine: Engine, revision: int, *, everywhere: bool) -> Mismatch | None:
    with transaction(engine) as connection:
        held = connection.execute(text(HELD), {"revision": revision}).one_or_none()
        said = Counts(held.events, held.properties) if held else Counts(0, 0)
        there = count(connection, revision, *EVER) if everywhere else said
        if there == said:
            spanned = held and held.t_min and held.t_max
            there = count(connection, revision, held.t_min, held.t_max) if held and spanned else Counts(0, 0)
    return Mismatch(revision, said, there) if said != there else None


def _by_revision(engine: Engine, table: str) -> dict[int, RowSpan]:
    with transaction(engine) as connection:
        names = [partition.name for partition in read_partitions(connection) if partition.table == table]
    found: dict[int, RowSpan] = {}
    for name in names:
        # One short transaction each.
        with transaction(engine) as connection:
            for revision, *rows in connection.execute(text(OF_PARTITION.format(table=table, name=name))):
                found[revision] = RowSpan(*rows).with_more(found.get(revision))
    return found
