"""The user map: which identity belongs to which person, and the facts that follow it.

``user_map`` has one row for each identity. At every commit it is what `warehouse.identity.resolution` computes from the
alias lines in ``aliases``. At every commit, too, each fact carries its person or has a pending move, whatever runs at
once and wherever a process is killed:

* Whoever changes the map writes down, in the same transaction, which facts are to follow: identities
  (``pending_moves``), or spans of time that are to be looked through (``pending_spans``). What is done is crossed out
  in the transaction that did it.
* Whoever puts facts under persons, to load or to move them, looks when it commits whether the map is still the one
  that it read (`warehouse.identity.map_lock`), and puts right what it did if it is not.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine, Row, text

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.connection.server import long_statements, select_in_batches, transaction, values_list
from kmdb_dagster.warehouse.identity.map_lock import increment_map_version, lock_map_shared, read_map_version
from kmdb_dagster.warehouse.identity.spans import spans_of
from kmdb_dagster.warehouse.maintenance.indexes import is_any_index_missing
from kmdb_dagster.warehouse.schema.tables import FACTS, id_range

MOVES_PER_TRANSACTION = 1000
MAPPED_PER_STATEMENT = 20_000
MOST_COMPARED = 100_000
"""Identities of a revision. It mostly has a thousand, and whether another tie touched one of them is quickly seen."""

WAITS = "INSERT INTO pending_moves (identity_id, from_user_id, t_min, t_max) VALUES (%s, %s, %s, %s)"
MOVE = (
    "UPDATE JSON_TABLE(:moves, '$[*]' COLUMNS (identity_id INT UNSIGNED PATH '$[0]', "
    "before_id INT UNSIGNED PATH '$[1]', person_id INT UNSIGNED PATH '$[2]')) m "
    # By the index: for many people the server would rather read the whole table, and wait for every load.
    "STRAIGHT_JOIN {table} f FORCE INDEX (by_user) ON f.user_id = m.before_id AND f.identity_id = m.identity_id "
    "SET f.user_id = m.person_id WHERE f.t BETWEEN :t_min AND :t_max"
)
MISPLACED = (
    "FROM {table} f STRAIGHT_JOIN user_map m ON m.identity_id = f.identity_id "
    "WHERE f.t BETWEEN :t_min AND :t_max AND f.user_id <> m.user_id"
)


def persons(connection: Connection, identities: Collection[int]) -> dict[int, int]:
    """The person of each identity.

    Raises:
        PermanentError: the map lacks some. Interning never leaves one out.
    """
    found = select_in_batches(
        connection, "SELECT identity_id, user_id FROM user_map WHERE identity_id IN :ids", identities
    )
    if len(found) < len(identities):
        raise PermanentError(f"user_map lacks {len(identities) - len(found)} identities. Run `kmdb realias`.")
    return {int(identity): int(person) for identity, person in found}


def assign(connection: Connection, person: Mapping[int, int]) -> int:
    """Give identities their person, and write down which facts are to follow. The map must be held alone.

    Returns:
        How many had another.
    """
    before = persons(connection, person)
    changed = [(identity, before[identity]) for identity in sorted(person) if before[identity] != person[identity]]
    if changed:
        increment_map_version(connection)
        _write_down(connection, changed)
        write_map(connection, [(identity, person[identity]) for identity, _ in changed])
    return len(changed)


def write_map(connection: Connection, persons_of: Sequence[tuple[int, int]]) -> None:
    """Write the person of identities, which come in order, into the map. The map must be held alone."""
    for start in range(0, len(persons_of), MAPPED_PER_STATEMENT):
        rows = values_list(persons_of[start : start + MAPPED_PER_STATEMENT])
        connection.exec_driver_sql(
            f"INSERT INTO user_map (identity_id, user_id) VALUES {rows} "  # noqa: S608 - numbers
            "ON DUPLICATE KEY UPDATE user_id = VALUES(user_id)"
        )


def _write_down(connection: Connection, moves: Collection[tuple[int, int]]) -> None:
    """Facts of these identities, under these persons, are to follow. One without facts has none to follow."""
    spans = spans_of(connection, [identity for identity, _ in moves])
    rows = [(identity, before, *spans[identity]) for identity, before in moves if identity in spans]
    if rows:
        # Those of one span together: they move by one statement.
        connection.exec_driver_sql(WAITS, sorted(rows, key=itemgetter(2, 3, 0)))


Progress = Callable[[str, int, int], object]
"""Is told what is being done, how much of it is done, and of how much."""


def move_facts(engine: Engine, report: Progress = lambda *_: None) -> int:
    """Let all facts follow that are written down, and look through the spans of time that are.

    May be killed anywhere and run by several at once: they share the work. Does nothing while indexes are away
    (`warehouse.maintenance.indexes`).

    Returns:
        Of how many identities facts were moved.
    """
    if is_any_index_missing(engine):
        return 0
    total = 0
    spans = _count(engine, "pending_spans")
    while True:
        while moved := _move_batch(engine):
            total += moved
            report("moving facts of identities", total, total + _count(engine, "pending_moves"))
        if not _count(engine, "pending_spans") or not _look_through_span(engine):
            return total
        left = _count(engine, "pending_spans")
        spans = max(spans, left)
        report("looking through facts, spans of time", spans - left, spans)


def _count(engine: Engine, table: str) -> int:
    with transaction(engine) as connection:
        return int(connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar_one())  # noqa: S608 - ours


def _move_batch(engine: Engine) -> int:
    with transaction(engine) as connection:
        version = read_map_version(connection)
        batch = connection.execute(
            text(
                "SELECT id, identity_id, from_user_id, t_min, t_max FROM pending_moves ORDER BY id LIMIT :most "
                "FOR UPDATE SKIP LOCKED"
            ),
            {"most": MOVES_PER_TRANSACTION},
        ).all()
        if not batch:
            return 0
        person = persons(connection, {row.identity_id for row in batch})
        for (t_min, t_max), rows in groupby(batch, key=lambda row: (row.t_min, row.t_max)):
            _move(connection, person, list(rows), t_min, t_max)
        if not lock_map_shared(connection, version):
            _wait_again(connection, person)
        numbers = ",".join(str(row.id) for row in batch)
        connection.exec_driver_sql(f"DELETE FROM pending_moves WHERE id IN ({numbers})")  # noqa: S608 - numbers
        return len(batch)


def _move(
    connection: Connection, person: dict[int, int], rows: list[Row[Any]], t_min: datetime, t_max: datetime
) -> None:
    # The persons as values: joined with user_map this would lock its rows, and so stop whoever changes it.
    moves = json.dumps([(row.identity_id, row.from_user_id, person[row.identity_id]) for row in rows])
    for table in FACTS:
        connection.execute(text(MOVE.format(table=table)), {"moves": moves, "t_min": t_min, "t_max": t_max})


def _wait_again(connection: Connection, moved: dict[int, int]) -> None:
    """The map changed while facts were moved: those that it sent elsewhere meanwhile are to go on from there."""
    now = persons(connection, moved)
    further = [(identity, person) for identity, person in moved.items() if now[identity] != person]
    if further:
        _write_down(connection, further)


def _look_through_span(engine: Engine) -> bool:
    """Write down the facts of a span that are under a wrong person, however they got there. False: there is no span."""
    with long_statements(engine) as patient, transaction(patient) as connection:
        span = connection.execute(
            text("SELECT id, table_name, t_min, t_max FROM pending_spans ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")
        ).one_or_none()
        if span is None:
            return False
        connection.execute(
            text(
                "INSERT INTO pending_moves (identity_id, from_user_id, t_min, t_max) "
                f"SELECT DISTINCT f.identity_id, f.user_id, :t_min, :t_max {MISPLACED.format(table=span.table_name)}"
            ),
            {"t_min": span.t_min, "t_max": span.t_max},
        )
        connection.execute(text("DELETE FROM pending_spans WHERE id = :id"), {"id": span.id})
        return True


def settle(
    connection: Connection,
    version: int,
    used: set[tuple[int, int]],
    revision: int,
    times: tuple[datetime, datetime] | None,
) -> None:
    """Hold the map until this transaction ends, with the facts that it loaded under the persons that the map names.

    Args:
        connection: the transaction, about to commit.
        version: that of the map before the first person was read.
        used: identities with the persons that were read for them, at one time or another; if there are more than
            ``MOST_COMPARED``, perhaps not all.
        revision: the revision that was loaded.
        times: those of its earliest and its latest fact; None: it has none.
    """
    if lock_map_shared(connection, version) or times is None or _still_are(connection, used):
        return
    for table in FACTS:
        connection.execute(
            text(
                f"UPDATE {table} f STRAIGHT_JOIN user_map m ON m.identity_id = f.identity_id "  # noqa: S608 - ours
                "SET f.user_id = m.user_id WHERE f.id BETWEEN :first AND :last AND f.t BETWEEN :t_min AND :t_max "
                "AND f.user_id <> m.user_id"
            ),
            {**id_range(revision), "t_min": times[0], "t_max": times[1]},
        )


def _still_are(connection: Connection, used: set[tuple[int, int]]) -> bool:
    """Whether each identity has the person that was read for it. False, too, if that is too much to ask."""
    if len(used) > MOST_COMPARED:
        return False
    return persons(connection, {identity for identity, _ in used}).items() == used
