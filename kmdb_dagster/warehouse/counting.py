"""Whether the tables hold as many facts as the ledger says: of some revisions, or of all.

A look at a revision holds its row of the ledger, so that no load changes either side meanwhile.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.warehouse.ddl.partitions import read_partitions
from kmdb_dagster.warehouse.models import FACTS, LINE_BITS, ORDINAL_BITS, id_range
from kmdb_dagster.warehouse.server import transaction

EVER = datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 - as the server has it
MOST_NAMED = 100

HELD = (
    "SELECT events, properties, t_min, t_max FROM revisions "
    "WHERE revision = :revision AND imported_at IS NOT NULL LOCK IN SHARE MODE"
)
OF_REVISION = "SELECT COUNT(*) FROM {table} WHERE id BETWEEN :first AND :last AND t BETWEEN :t_min AND :t_max"
OF_PARTITION = f"SELECT id >> {LINE_BITS + ORDINAL_BITS}, COUNT(*) FROM {{table}} PARTITION ({{name}}) GROUP BY 1"  # noqa: S608 - ours


class Counts(NamedTuple):
    """Rows of `events` and of `properties`."""

    events: int
    properties: int


class Wrong(NamedTuple):
    """A revision of which the tables hold more or less than the ledger says."""

    revision: int
    ledger: Counts
    tables: Counts


def wrong_among(engine: Engine, revisions: Iterable[int]) -> list[Wrong]:
    """Look at these revisions, in the time partitions that the ledger names: about as fast as reading their rows."""
    return [wrong for revision in revisions if (wrong := _look(engine, revision, everywhere=False))]


def wrong_anywhere(engine: Engine) -> list[Wrong]:
    """Look at every row, a time partition at a time; at most so many revisions are named.

    Imports may go on: what does not seem to agree is looked at again, by itself.
    """
    found = {table: _by_revision(engine, table) for table in FACTS}
    with transaction(engine) as connection:
        said = {
            row[0]: Counts(row[1], row[2])
            for row in connection.execute(text("SELECT revision, events, properties FROM revisions"))
        }
    seen = said.keys() | set().union(*found.values())
    suspects = (r for r in sorted(seen) if said.get(r, (0, 0)) != tuple(found[table][r] for table in FACTS))
    return list(islice(_confirmed(engine, suspects), MOST_NAMED))


def count(connection: Connection, revision: int, t_min: datetime, t_max: datetime) -> Counts:
    """The rows of a revision between two times."""
    where = {**id_range(revision), "t_min": t_min, "t_max": t_max}
    return Counts(*(connection.execute(text(OF_REVISION.format(table=table)), where).scalar_one() for table in FACTS))


def _confirmed(engine: Engine, suspects: Iterable[int]) -> Iterator[Wrong]:
    for revision in suspects:
        wrong = _look(engine, revision, everywhere=True)
        if wrong:
            yield wrong


def _look(engine: Engine, revision: int, *, everywhere: bool) -> Wrong | None:
    with transaction(engine) as connection:
        held = connection.execute(text(HELD), {"revision": revision}).one_or_none()
        said = Counts(held.events, held.properties) if held else Counts(0, 0)
        if everywhere:
            there = count(connection, revision, *EVER)
        elif held and held.t_min:
            there = count(connection, revision, held.t_min, held.t_max)
        else:
            there = Counts(0, 0)
    return Wrong(revision, said, there) if said != there else None


def _by_revision(engine: Engine, table: str) -> Counter[int]:
    with transaction(engine) as connection:
        names = [partition.name for partition in read_partitions(connection) if partition.table == table]
    counted: Counter[int] = Counter()
    for name in names:
        # A transaction each: none is open for long.
        with transaction(engine) as connection:
            counted.update(
                {row[0]: row[1] for row in connection.execute(text(OF_PARTITION.format(table=table, name=name)))}
            )
    return counted
