"""The user map (identity to person), and the moves of facts from a previous person id to the current one.

``user_map`` has one row for each identity. At every commit it is what `warehouse.identity.resolution` computes from the
alias lines in ``aliases``. At every commit each fact carries its person or has a pending move. This holds under
concurrency, and if a process is killed:

* A transaction that changes the map also records the pending moves: identities (``pending_moves``), or spans of time
  that must be searched (``pending_spans``). The transaction that completes a move deletes its row.
* A transaction that writes person ids into facts checks before its commit whether the map still has the version that it
  read (`warehouse.identity.map_lock`). If not, it records moves for the identities whose person changed.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, Row, text

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.connection.server import long_statements, select_in_batches, transaction, values_list
from kmdb_dagster.warehouse.identity.map_lock import increment_map_version, lock_map_shared, read_map_version
from kmdb_dagster.warehouse.identity.spans import spans_of
from kmdb_dagster.warehouse.ledger.changed_days import record_changed_identities
from kmdb_dagster.warehouse.maintenance.indexes import is_any_index_missing
from kmdb_dagster.warehouse.schema.columns import IntColumn
from kmdb_dagster.warehouse.schema.tables import FACTS

MOVES_PER_TRANSACTION = 1000
MAPPED_PER_STATEMENT = 20_000
PERSON_BITS = 32
MAX_PERSON = 2**PERSON_BITS - 1
PersonCodes: TypeAlias = NDArray[np.uint64]

INSERT_MOVE = "INSERT INTO pending_moves (identity_id, from_user_id, t_min, t_max) VALUES (%s, %s, %s, %s)"
MOVE = (
    "UPDATE JSON_TABLE(:moves, '$[*]' COLUMNS (identity_id INT UNSIGNED PATH '$[0]', "
    "before_id INT UNSIGNED PATH '$[1]', person_id INT UNSIGNED PATH '$[2]')) m "
    # By the index: for many people the server would rather read the whole table, and wait for every load.
    "STRAIGHT_JOIN {table} f FORCE INDEX (by_user) ON f.user_id = m.before_id AND f.identity_id = m.identity_id "
    "SET f.user_id = m.person_id WHERE f.t BETWEEN :t_min AND :t_max"
)
MISPLACED_FACTS = (
    "FROM {table} f STRAIGHT_JOIN user_map m ON m.identity_id = f.identity_id "
    "WHERE f.t BETWEEN :t_min AND :t_max AND f.user_id <> m.user_id"
)


def read_persons(connection: Connection, identities: Collection[int]) -> dict[int, int]:
    """Return the person of each identity.

    Raises:
        PermanentError: ``user_map`` lacks identities. Interning adds every identity, so rows were deleted by hand.
    """
    found = select_in_batches(
        connection, "SELECT identity_id, user_id FROM user_map WHERE identity_id IN :ids", identities
    )
    if len(found) < len(identities):
        raise PermanentError(f"user_map lacks {len(identities) - len(found)} identities. Run `kmdb realias`.")
    return {int(identity): int(person) for identity, person in found}


def update_map(connection: Connection, person: Mapping[int, int]) -> dict[int, int]:
    """Change the person of identities, and record the pending moves of their facts. Requires `lock_map`.

    Returns:
        The new person of each identity whose person changed.
    """
    before = read_persons(connection, person)
    changed = [(identity, before[identity]) for identity in sorted(person) if before[identity] != person[identity]]
    if changed:
        increment_map_version(connection)
        _record_moves(connection, changed)
        write_map(connection, [(identity, person[identity]) for identity, _ in changed])
        record_changed_identities(connection, [identity for identity, _ in changed])
    return {identity: person[identity] for identity, _ in changed}


def write_map(connection: Connection, persons_of: Sequence[tuple[int, int]]) -> None:
    """Upsert (identity, person) rows, sorted by identity, into ``user_map``. Requires `lock_map`."""
    for start in range(0, len(persons_of), MAPPED_PER_STATEMENT):
        rows = values_list(persons_of[start : start + MAPPED_PER_STATEMENT])
        connection.exec_driver_sql(
            f"INSERT INTO user_map (identity_id, user_id) VALUES {rows} "  # noqa: S608 - numbers
            "ON DUPLICATE KEY UPDATE user_id = VALUES(user_id)"
        )


def _record_moves(connection: Connection, moves: Collection[tuple[int, int]]) -> None:
    """Record moves of (identity, previous person). Identities without facts need none."""
    spans = spans_of(connection, [identity for identity, _ in moves])
    rows = [(identity, before, *spans[identity]) for identity, before in moves if identity in spans]
    if rows:
        # Sorted by span: moves of one span are one statement.
        connection.exec_driver_sql(INSERT_MOVE, sorted(rows, key=itemgetter(2, 3, 0)))


Progress = Callable[[str, int, int], object]
"""Callback for progress: what is being done, the number done, the total (0: unknown)."""


def move_facts(engine: Engine, report: Progress = lambda *_: None) -> int:
    """Apply all pending moves, and search the pending spans for more.

    Idempotent. Safe to kill, and to run in several processes at once: they share the work. Does nothing while indexes
    are missing (`warehouse.maintenance.indexes`).

    Returns:
        The number of identities whose facts were moved.
    """
    if is_any_index_missing(engine):
        return 0
    total = 0
    spans = _count(engine, "pending_spans")
    while True:
        while moved := _move_batch(engine):
            total += moved
            report("moving facts of identities", total, total + _count(engine, "pending_moves"))
        if not _count(engine, "pending_spans") or not _find_moves_in_span(engine):
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
        person = read_persons(connection, {row.identity_id for row in batch})
        for (t_min, t_max), rows in groupby(batch, key=lambda row: (row.t_min, row.t_max)):
            _move(connection, person, list(rows), t_min, t_max)
        if not lock_map_shared(connection, version):
            _record_further_moves(connection, person)
        numbers = ",".join(str(row.id) for row in batch)
        connection.exec_driver_sql(f"DELETE FROM pending_moves WHERE id IN ({numbers})")  # noqa: S608 - numbers
        return len(batch)


def _move(
    connection: Connection, person: dict[int, int], rows: list[Row[Any]], t_min: datetime, t_max: datetime
) -> None:
    # Person ids as values: a join with user_map would lock its rows, and block changes of the map.
    moves = json.dumps([(row.identity_id, row.from_user_id, person[row.identity_id]) for row in rows])
    for table in FACTS:
        connection.execute(text(MOVE.format(table=table)), {"moves": moves, "t_min": t_min, "t_max": t_max})


def _record_further_moves(connection: Connection, moved: dict[int, int]) -> None:
    """The map changed while facts were moved: record another move for identities that have a new person now."""
    now = read_persons(connection, moved)
    further = [(identity, person) for identity, person in moved.items() if now[identity] != person]
    if further:
        _record_moves(connection, further)


def _find_moves_in_span(engine: Engine) -> bool:
    """Record moves for the facts of one pending span that carry a wrong person. False: there is no pending span."""
    with long_statements(engine) as patient, transaction(patient) as connection:
        span = connection.execute(
            text("SELECT id, table_name, t_min, t_max FROM pending_spans ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")
        ).one_or_none()
        if span is None:
            return False
        misplaced = MISPLACED_FACTS.format(table=span.table_name)
        connection.execute(
            text(
                "INSERT INTO pending_moves (identity_id, from_user_id, t_min, t_max) "
                f"SELECT DISTINCT f.identity_id, f.user_id, :t_min, :t_max {misplaced}"
            ),
            {"t_min": span.t_min, "t_max": span.t_max},
        )
        connection.execute(text("DELETE FROM pending_spans WHERE id = :id"), {"id": span.id})
        return True


def record_moves_of_loaded(connection: Connection, version: int, used: Sequence[PersonCodes]) -> None:
    """Lock the map (shared) until commit, and record moves of the facts whose person changed since it was read.

    The loaded rows themselves are not updated: the moves find them by index, after the commit.

    Args:
        connection: the transaction of the load, about to commit.
        version: the map's version before the first person was read.
        used: the `person_codes` of all identities that the load looked up.
    """
    if lock_map_shared(connection, version) or not used:
        return
    identities, persons = split_person_codes(np.unique(np.concatenate(used)))
    pairs = list(zip(identities.tolist(), persons.tolist(), strict=True))
    now = read_persons(connection, {identity for identity, _ in pairs})
    _record_moves(connection, [(identity, person) for identity, person in pairs if now[identity] != person])


def person_codes(persons: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Return the ids of each identity and of its person as one number, because a load may hold millions of them."""
    return {name: identity << PERSON_BITS | person for name, (identity, person) in persons.items()}


def split_person_codes(codes: PersonCodes) -> tuple[IntColumn, IntColumn]:
    """Return the ids of the identities, and of their persons."""
    return (codes >> PERSON_BITS).astype(np.int64), (codes & MAX_PERSON).astype(np.int64)
