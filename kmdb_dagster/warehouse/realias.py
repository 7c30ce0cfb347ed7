"""The whole user map made anew from ``aliases``, by the rule that is asked for, and applied to every fact.

Not needed in ordinary life: imports keep the map up to date. It puts another rule in force, and is the way back when
somebody changed ``aliases``, ``user_map`` or facts by hand.

One transaction changes the map. What it is to be applied to is written down in it, as spans of time (not partitions:
those may be split meanwhile). So it may be killed anywhere; this, run again, or the next import does the rest.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, time, timedelta
from itertools import chain
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine, text

from kmdb_dagster.export.people import Numbers, Ties
from kmdb_dagster.warehouse import people
from kmdb_dagster.warehouse.graph import people_of, without
from kmdb_dagster.warehouse.map_lock import count_change, own_map
from kmdb_dagster.warehouse.partitions import Partition, read_partitions
from kmdb_dagster.warehouse.people import Report
from kmdb_dagster.warehouse.rules import Rule, ids_of, put_in_force, rule_asked_for
from kmdb_dagster.warehouse.server import insert, transaction

MISSING = (
    "INSERT INTO user_map (identity_id, user_id) SELECT u.id, u.id FROM users u "
    "LEFT JOIN user_map m ON m.identity_id = u.id WHERE m.identity_id IS NULL ON DUPLICATE KEY UPDATE user_id = u.id"
)
ROWS_READ_AT_ONCE = 100_000
ROWS_PER_STATEMENT = 20_000

FIRST = datetime(1000, 1, 1)  # noqa: DTZ001 - as the server has it
LAST = datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 - as above


class Realiased(NamedTuple):
    """What came of it: identities that got another person, identities of which facts were moved."""

    identities: int
    moved: int


def realias(
    engine: Engine, generation: str, *, numeric_apart: bool = False, report: Report = lambda *_: None
) -> Realiased:
    """Rebuild the map and apply it. May be killed anywhere and run again."""
    with transaction(engine) as connection:
        # Those of one that was killed. Before the map is held: who looks through one of them holds it.
        connection.execute(text("DELETE FROM pending_spans"))
        own_map(connection, generation)
        rule = rule_asked_for(connection, numeric_apart=numeric_apart)
        put_in_force(connection, rule)
        changed = _rebuild(connection, rule, report)
        insert(
            connection, "INSERT INTO pending_spans (table_name, t_min, t_max) VALUES (%s, %s, %s)", _spans(connection)
        )
    return Realiased(changed, people.move_facts(engine, report))


def _rebuild(connection: Connection, rule: Rule, report: Report) -> int:
    connection.execute(text(MISSING))
    lines = without(_lines(connection, rule, report), ids_of(connection, rule.placeholders))
    misled = _columns(connection, "SELECT identity_id, user_id FROM user_map WHERE user_id <> identity_id")
    identities, person = people_of(
        connection, lines, misled[0], apart=rule.apart, report=lambda *done: report("reading names", *done)
    )
    # An identity that is not in `misled` stands for itself.
    before = identities.copy()
    before[np.searchsorted(identities, misled[0])] = misled[1]
    changed = np.flatnonzero(before != person)
    if len(changed):
        count_change(connection)
        _write(connection, identities[changed], person[changed], report)
    return len(changed)


def _lines(connection: Connection, rule: Rule, report: Report) -> Ties:
    # The time counts only where numeric identities stay apart.
    t = "TO_SECONDS(t)" if rule.apart else "0"
    return Ties(
        *_columns(
            connection,
            f"SELECT identity1_id, identity2_id, {t} FROM aliases WHERE identity1_id <> identity2_id",  # noqa: S608
            lambda done: report("reading aliases", done, 0),
        )
    )


def _columns(
    connection: Connection, statement: str, told: Callable[[int], object] = lambda _: None
) -> tuple[Numbers, ...]:
    """The columns of a result that may be long, each as an array. It is never held in any other form as a whole."""
    result = connection.execute(text(statement).execution_options(stream_results=True))
    width = len(result.keys())
    parts = [np.empty((0, width), dtype=np.int64)]
    for rows in result.partitions(ROWS_READ_AT_ONCE):
        numbers = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=len(rows) * width)
        parts.append(numbers.reshape(-1, width))
        told(sum(map(len, parts)))
    return tuple(np.ascontiguousarray(column) for column in np.concatenate(parts).T)


def _write(connection: Connection, identities: Numbers, person: Numbers, report: Report) -> None:
    for start in range(0, len(identities), ROWS_PER_STATEMENT):
        part = slice(start, start + ROWS_PER_STATEMENT)
        rows = ",".join(map("(%d,%d)".__mod__, zip(identities[part].tolist(), person[part].tolist(), strict=True)))
        connection.exec_driver_sql(
            f"INSERT INTO user_map (identity_id, user_id) VALUES {rows} "  # noqa: S608 - numbers
            "ON DUPLICATE KEY UPDATE user_id = VALUES(user_id)"
        )
        report("writing the map", min(start + ROWS_PER_STATEMENT, len(identities)), len(identities))


def _spans(connection: Connection) -> list[tuple[str, datetime, datetime]]:
    """All time, cut as the tables of facts are now."""
    found = read_partitions(connection)
    return [
        (table, *span)
        for table in people.FACTS
        for span in _between([partition for partition in found if partition.table == table])
    ]


def _between(partitions: list[Partition]) -> Iterator[tuple[datetime, datetime]]:
    start = FIRST
    for partition in partitions:
        end = LAST if partition.before is None else datetime.combine(partition.before, time()) - timedelta(seconds=1)
        yield start, end
        if partition.before is not None:
            start = datetime.combine(partition.before, time())
