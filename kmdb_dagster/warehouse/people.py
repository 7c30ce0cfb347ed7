"""The user map: which identity belongs to which person, and the facts that follow it.

``user_map`` has one row for each identity and is, at every commit, what `export.people` says of the alias lines in
``aliases``. At every commit, too, each fact is under its person or named in ``pending_moves``, whatever runs at once
and wherever a process is killed:

* Whoever changes the map writes down, in the same transaction, which facts are to follow; whoever moves them crosses
  that out in the transaction that moves.
* Whoever puts facts under persons, to load or to move them, looks when it commits whether the map is still the one
  that it read (`warehouse.map_lock`), and puts right what it did if it is not.
"""

import json
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, Engine, bindparam, text

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.export.people import components, rank, stands_for
from kmdb_dagster.warehouse.map_lock import count_change, hold_map, map_version, own_map
from kmdb_dagster.warehouse.models import row_id
from kmdb_dagster.warehouse.server import insert, transaction

FACTS = ("events", "properties")
WAITS = "INSERT INTO pending_moves (identity_id, from_user_id) VALUES (%s, %s)"
IDS_PER_STATEMENT = 1000
MOVES_PER_TRANSACTION = 200


class Tie(NamedTuple):
    """An alias line as it is stored."""

    id: int
    t: datetime
    name1: str
    name2: str
    identity1: int
    identity2: int


def persons(connection: Connection, identities: Collection[int]) -> dict[int, int]:
    """The person of each identity.

    Raises:
        PermanentError: the map lacks some. Interning never leaves one out.
    """
    found = _in_parts(connection, "SELECT identity_id, user_id FROM user_map WHERE identity_id IN :ids", identities)
    if len(found) < len(identities):
        raise PermanentError(f"user_map lacks {len(identities) - len(found)} identities. Run `kmdb realias`.")
    return {int(identity): int(person) for identity, person in found}


def replace_aliases(engine: Engine, generation: str, revision: int, ties: list[Tie]) -> int:
    """Store the alias lines of a revision in place of those it had, and bring the map up to date with them.

    Costs nothing but one look-up if they are the same as before; otherwise only the people that they touch.

    Returns:
        How many identities got another person.
    """
    with transaction(engine) as connection:
        if _stored(connection, revision) == ties:
            return 0
    with transaction(engine) as connection:
        own_map(connection, generation)
        before = _stored(connection, revision)
        _store(connection, revision, ties)
        pairs = {_pair(tie) for tie in ties}
        removed = {_pair(tie) for tie in before} - pairs
        groups = _recomputed(connection, pairs | removed) if removed else _united(connection, pairs)
        return assign(connection, groups)


def _stored(connection: Connection, revision: int) -> list[Tie]:
    found = connection.execute(
        text(
            "SELECT id, t, name1, name2, identity1_id, identity2_id FROM aliases "
            "WHERE id BETWEEN :first AND :last ORDER BY id"
        ),
        _id_range(revision),
    )
    return [Tie(*row) for row in found]


def count_aliases(connection: Connection, revision: int, times: Collection[datetime]) -> int:
    """How many alias lines of a revision are stored, within the time partitions of these times."""
    if not times:
        return 0
    where = {**_id_range(revision), "t_min": min(times), "t_max": max(times)}
    found = connection.execute(
        text("SELECT COUNT(*) FROM aliases WHERE id BETWEEN :first AND :last AND t BETWEEN :t_min AND :t_max"), where
    )
    return int(found.scalar_one())


def _store(connection: Connection, revision: int, ties: list[Tie]) -> None:
    connection.execute(text("DELETE FROM aliases WHERE id BETWEEN :first AND :last"), _id_range(revision))
    insert(
        connection,
        "INSERT INTO aliases (id, t, name1, name2, identity1_id, identity2_id) VALUES (%s, %s, %s, %s, %s, %s)",
        [tuple(tie) for tie in ties],
    )


def _id_range(revision: int) -> dict[str, int]:
    return {"first": row_id(revision, 0), "last": row_id(revision + 1, 0) - 1}


def _pair(tie: Tie) -> tuple[int, int]:
    return min(tie.identity1, tie.identity2), max(tie.identity1, tie.identity2)


def _united(connection: Connection, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    """New ties only join people that are there: each group is a new person and the people that become part of it."""
    ends = list(pairs)
    person = persons(connection, {end for pair in ends for end in pair})
    groups = [group for group in components([(person[a], person[b]) for a, b in ends]) if len(group) > 1]
    ranks = ranks_of(connection, [member for group in groups for member in group])
    joined = []
    for group in groups:
        head = stands_for(group, ranks)
        followers = [member for member in group if member != head]
        joined.append((head, _identities_of(connection, followers)))
    return joined


def _recomputed(connection: Connection, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    """A tie is gone: the people it touched are taken apart and put together anew from all of their alias lines."""
    ends = {end for pair in pairs for end in pair}
    members = _identities_of(connection, set(persons(connection, ends).values()))
    ties = [(member, member) for member in members] + [
        (int(one), int(other))
        for one, other in _in_parts(
            connection,
            "SELECT identity1_id, identity2_id FROM aliases WHERE identity1_id IN :ids "
            "UNION SELECT identity1_id, identity2_id FROM aliases WHERE identity2_id IN :ids",
            members,
        )
    ]
    ranks = ranks_of(connection, {end for tie in ties for end in tie})
    return [(stands_for(group, ranks), group) for group in components(ties)]


def _identities_of(connection: Connection, people: Collection[int]) -> list[int]:
    found = _in_parts(connection, "SELECT identity_id FROM user_map WHERE user_id IN :ids", people)
    return [int(identity) for (identity,) in found]


def ranks_of(connection: Connection, identities: Collection[int]) -> dict[int, tuple[int, int, str, str]]:
    """How each of these identities ranks among those of its person."""
    found = _in_parts(connection, "SELECT id, name FROM users WHERE id IN :ids", identities)
    return {int(identity): rank(name) for identity, name in found}


def assign(connection: Connection, groups: Iterable[tuple[int, Collection[int]]]) -> int:
    """Give identities their person, and write down which facts are to follow."""
    person = {member: head for head, members in groups for member in members}
    before = persons(connection, person)
    changed = [(identity, before[identity]) for identity in sorted(person) if before[identity] != person[identity]]
    if changed:
        count_change(connection)
        connection.exec_driver_sql(WAITS, changed)
        connection.exec_driver_sql(
            "INSERT INTO user_map (identity_id, user_id) VALUES (%s, %s) "
            "ON DUPLICATE KEY UPDATE user_id = VALUES(user_id)",
            [(identity, person[identity]) for identity, _ in changed],
        )
    return len(changed)


def move_facts(engine: Engine, report: Callable[[int], object] = lambda _: None) -> int:
    """Move the facts that ``pending_moves`` names to the person that the map names now. ``report`` gets each step.

    May be killed anywhere and run by several at once: a batch is crossed out by the transaction that moved it.
    """
    total = 0
    while moved := _move_batch(engine):
        total += moved
        report(moved)
    return total


def _move_batch(engine: Engine) -> int:
    with transaction(engine) as connection:
        version = map_version(connection)
        batch = connection.execute(
            text("SELECT id, identity_id, from_user_id FROM pending_moves LIMIT :most FOR UPDATE SKIP LOCKED"),
            {"most": MOVES_PER_TRANSACTION},
        ).all()
        if not batch:
            return 0
        person = persons(connection, {identity for _, identity, _ in batch})
        moves = json.dumps([(identity, before, person[identity]) for _, identity, before in batch])
        for table in FACTS:
            # The persons as values: joined with user_map this would lock its rows, and with them whoever changes it.
            connection.execute(text(MOVE.format(table=table)), {"moves": moves})
        if not hold_map(connection, version):
            _wait_again(connection, person)
        connection.exec_driver_sql("DELETE FROM pending_moves WHERE id = %s", [(number,) for number, _, _ in batch])
        return len(batch)


MOVE = (
    "UPDATE JSON_TABLE(:moves, '$[*]' COLUMNS (identity_id INT UNSIGNED PATH '$[0]', "
    "before_id INT UNSIGNED PATH '$[1]', person_id INT UNSIGNED PATH '$[2]')) m "
    # By the index: for many people the server would rather read the whole table, and wait for every load.
    "STRAIGHT_JOIN {table} f FORCE INDEX (by_user) ON f.user_id = m.before_id AND f.identity_id = m.identity_id "
    "SET f.user_id = m.person_id"
)


def _wait_again(connection: Connection, moved: dict[int, int]) -> None:
    """The map changed while facts were moved: those that it sent elsewhere meanwhile are to go on from there."""
    now = persons(connection, moved)
    further = [(identity, person) for identity, person in moved.items() if now[identity] != person]
    if further:
        connection.exec_driver_sql(WAITS, further)


def settle(connection: Connection, version: int, revision: int, t_min: datetime, t_max: datetime) -> None:
    """Hold the map until this transaction ends, with the facts that it loaded under the persons that the map names.

    Args:
        connection: the transaction, about to commit.
        version: that of the map before the first person was read.
        revision: the revision that was loaded.
        t_min: the time of its earliest fact.
        t_max: that of its latest.
    """
    if hold_map(connection, version):
        return
    for table in FACTS:
        connection.execute(
            text(
                f"UPDATE {table} f STRAIGHT_JOIN user_map m ON m.identity_id = f.identity_id "  # noqa: S608 - ours
                "SET f.user_id = m.user_id WHERE f.id BETWEEN :first AND :last AND f.t BETWEEN :t_min AND :t_max "
                "AND f.user_id <> m.user_id"
            ),
            {**_id_range(revision), "t_min": t_min, "t_max": t_max},
        )


def _in_parts(connection: Connection, statement: str, ids: Collection[int]) -> list[tuple[Any, ...]]:
    """The rows of a statement with ``IN :ids``, however many ids there are."""
    rows: list[tuple[Any, ...]] = []
    numbers = list(ids)
    for start in range(0, len(numbers), IDS_PER_STATEMENT):
        part: BindParameter[Any] = bindparam("ids", numbers[start : start + IDS_PER_STATEMENT], expanding=True)
        rows.extend(tuple(row) for row in connection.execute(text(statement).bindparams(part)))
    return rows
