"""The whole user map made anew from ``aliases``, and applied to every fact.

Not needed in ordinary life: imports keep the map up to date. It is the way back when somebody changed ``aliases``
or ``user_map`` by hand, and the proof that both agree.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.export.people import components, stands_for
from kmdb_dagster.warehouse import people
from kmdb_dagster.warehouse.map_lock import own_map
from kmdb_dagster.warehouse.partitions import read_partitions
from kmdb_dagster.warehouse.server import autocommit, transaction

MISSING = (
    "INSERT INTO user_map (identity_id, user_id) SELECT u.id, u.id FROM users u "
    "LEFT JOIN user_map m ON m.identity_id = u.id WHERE m.identity_id IS NULL ON DUPLICATE KEY UPDATE user_id = u.id"
)

Report = Callable[[str], object]


class Realiased(NamedTuple):
    """What came of it: identities that got another person, fact rows that were put under another one."""

    identities: int
    facts: int


def realias(engine: Engine, generation: str, report: Report = lambda _: None) -> Realiased:
    """Rebuild the map and apply it. May be killed anywhere and run again. ``report`` gets words on the progress."""
    report("Reading aliases")
    with transaction(engine) as connection:
        own_map(connection, generation)
        connection.execute(text(MISSING))
        changed = people.assign(connection, list(_groups(connection)))
    report(f"{changed} identities got another person")
    moved = sum(_apply(engine, report))
    # What waited to be moved has been by now: this crosses it out.
    people.move_facts(engine)
    return Realiased(changed, moved)


def _groups(connection: Connection) -> Iterator[tuple[int, list[int]]]:
    ties = connection.execute(text("SELECT DISTINCT identity1_id, identity2_id FROM aliases")).all()
    groups = components([(int(one), int(other)) for one, other in ties])
    tied = {member for group in groups for member in group}
    # An identity that no alias line names stands for itself, whatever the map says.
    for (loner,) in connection.execute(text("SELECT identity_id FROM user_map WHERE user_id <> identity_id")).all():
        if loner not in tied:
            yield loner, [loner]
    ranks = people.ranks_of(connection, tied)
    for group in groups:
        yield stands_for(group, ranks), group


def _apply(engine: Engine, report: Report) -> Iterator[int]:
    """Go through all facts, a time partition a transaction: finds any under a wrong person, however it got there."""
    with autocommit(engine) as connection:
        partitions = [found for found in read_partitions(connection) if found.table in people.FACTS]
    for partition in partitions:
        with transaction(engine) as connection:
            moved = connection.execute(
                text(
                    f"UPDATE {partition.table} PARTITION ({partition.name}) f "  # noqa: S608 - names from the server
                    "JOIN user_map m ON m.identity_id = f.identity_id "
                    "SET f.user_id = m.user_id WHERE f.user_id <> m.user_id"
                )
            ).rowcount
        report(f"{partition.table} {partition.name}: {moved} rows moved")
        yield moved
