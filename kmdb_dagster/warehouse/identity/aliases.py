"""Alias lines as they are stored, and the user map kept up to date with those of one revision after another.

Costs what the people cost that a revision's aliases touch, however many others there are.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Engine, text

from kmdb_dagster.errors import TransientError
from kmdb_dagster.warehouse.connection.server import insert, select_in_batches, transaction
from kmdb_dagster.warehouse.identity.components import UnnamedError, people_of
from kmdb_dagster.warehouse.identity.erasure_list import ERASED_MEANWHILE, read_erased_digests
from kmdb_dagster.warehouse.identity.map_lock import lock_map
from kmdb_dagster.warehouse.identity.resolution import Numbers, Rank, Ties, components, rank, stands_for
from kmdb_dagster.warehouse.identity.rules import Rule, adopt_rule, excluded_ids
from kmdb_dagster.warehouse.identity.user_map import assign, persons
from kmdb_dagster.warehouse.interning.lookup import identity_ids
from kmdb_dagster.warehouse.loading.leftovers import Leftovers
from kmdb_dagster.warehouse.schema.tables import id_range

OF_REVISION = "FROM aliases WHERE id BETWEEN :first AND :last"


class AliasLine(NamedTuple):
    """An alias line as it is in the export."""

    id: int
    t: datetime
    name1: str
    name2: str


class Tie(NamedTuple):
    """An alias line as it is stored."""

    id: int
    t: datetime
    name1: str
    name2: str
    identity1: int
    identity2: int


class Resolved(NamedTuple):
    """Which file of a revision its aliases are from, and when they are; no times: there are none."""

    etag: str | None
    t_min: datetime | None
    t_max: datetime | None


def replace_aliases(  # noqa: PLR0913 - what a tie depends on
    engine: Engine,
    revision: int,
    etag: str | None,
    lines: list[AliasLine],
    *,
    numeric_apart: bool = False,
    erased: frozenset[bytes] = frozenset(),
    leftovers: Leftovers | None = None,
) -> int:
    """Store the alias lines of a revision in place of those it had, and bring the map up to date with them.

    Costs nothing but a few look-ups if they are the same as before; otherwise only the people that they touch. The
    ids of the identities are looked up in the transaction that stores them.

    Args:
        engine: the warehouse.
        revision: its number.
        etag: that of the file that the lines are from; None: KM never wrote the number.
        lines: all of its alias lines, in order. Their identities are interned.
        numeric_apart: what KMDB_NUMERIC_APART says; it applies only while no alias is stored
            (`warehouse.identity.rules`).
        erased: the digests of the identities that were redacted from ``lines``.
        leftovers: what is known of rows that ``resolved_revisions`` does not know; None: nothing.

    Returns:
        How many identities got another person.

    Raises:
        TransientError: another identity was erased since ``erased`` was read.
        UnresolvedError: an identity is no longer in: intern it again.
        RowsInTheWayError: there are rows that are not known, since a moment ago: try again.
    """
    with transaction(engine) as connection:
        if _is_stored(connection, revision, etag, lines):
            return 0
    leftovers = leftovers or Leftovers("aliases")
    with transaction(engine) as connection, leftovers.retried():
        lock_map(connection)
        if read_erased_digests(connection) != erased:
            raise TransientError(ERASED_MEANWHILE)
        rule = adopt_rule(connection, numeric_apart=numeric_apart)
        known = read_resolved(connection, revision) or leftovers.may_be_there(connection, revision)
        before, ties = _stored(connection, revision) if known else [], _with_ids(connection, lines)
        if before:
            connection.execute(text(f"DELETE {OF_REVISION}"), id_range(revision))
        _store(connection, revision, etag, ties)
        pairs, pairs_before = _pairs(ties, rule), _pairs(before, rule)
        # Kept apart, an identity may go elsewhere by a new tie, or by another time of the same.
        anew = rule.apart or pairs_before - pairs
        touched = pairs | pairs_before
        return assign(connection, _recomputed(connection, touched, rule) if anew else _united(connection, pairs))


def read_resolved(connection: Connection, revision: int) -> Resolved | None:
    """Return what a revision was resolved from. None: it never was."""
    found = connection.execute(
        text("SELECT etag, t_min, t_max FROM resolved_revisions WHERE revision = :revision"), {"revision": revision}
    ).one_or_none()
    return Resolved(*found) if found else None


def count_aliases(connection: Connection, revision: int) -> int:
    """How many alias lines of a revision are stored."""
    found = read_resolved(connection, revision)
    if found is None or found.t_min is None or found.t_max is None:
        return 0
    # Within their times: the server looks into few time partitions.
    where = {**id_range(revision), "t_min": found.t_min, "t_max": found.t_max}
    statement = text(f"SELECT COUNT(*) {OF_REVISION} AND t BETWEEN :t_min AND :t_max")
    return int(connection.execute(statement, where).scalar_one())


def _is_stored(connection: Connection, revision: int, etag: str | None, lines: list[AliasLine]) -> bool:
    resolved = read_resolved(connection, revision)
    times = [line.t for line in lines]
    if resolved != Resolved(etag, min(times, default=None), max(times, default=None)):
        return False
    return _stored(connection, revision) == _with_ids(connection, lines)


def _with_ids(connection: Connection, lines: list[AliasLine]) -> list[Tie]:
    ids = identity_ids(connection, {name for line in lines for name in (line.name1, line.name2)})
    return [Tie(*line, ids[line.name1], ids[line.name2]) for line in lines]


def _stored(connection: Connection, revision: int) -> list[Tie]:
    """Return the stored alias lines of a revision, wherever they are: their times may have been edited."""
    statement = f"SELECT id, t, name1, name2, identity1_id, identity2_id {OF_REVISION} ORDER BY id"
    return [Tie(*row) for row in connection.execute(text(statement), id_range(revision))]


def _store(connection: Connection, revision: int, etag: str | None, ties: list[Tie]) -> None:
    times = [tie.t for tie in ties]
    connection.execute(
        text(
            "REPLACE INTO resolved_revisions (revision, etag, t_min, t_max) VALUES (:revision, :etag, :t_min, :t_max)"
        ),
        {"revision": revision, "etag": etag, "t_min": min(times, default=None), "t_max": max(times, default=None)},
    )
    insert(
        connection,
        "INSERT INTO aliases (id, t, name1, name2, identity1_id, identity2_id) VALUES (%s, %s, %s, %s, %s, %s)",
        [tuple(tie) for tie in ties],
    )


def _pairs(ties: Iterable[Tie], rule: Rule) -> set[tuple[int, int]]:
    """Who is tied to whom."""
    return {
        (min(tie.identity1, tie.identity2), max(tie.identity1, tie.identity2))
        for tie in ties
        if rule.ties(tie.name1, tie.name2)
    }


def _united(connection: Connection, pairs: Collection[tuple[int, int]]) -> dict[int, int]:
    """New ties only join people that are there: the person of each identity that becomes part of another."""
    person = persons(connection, {end for pair in pairs for end in pair})
    groups = [group for group in components([(person[a], person[b]) for a, b in pairs]) if len(group) > 1]
    ranks = _ranks_of(connection, [member for group in groups for member in group])
    heads = {member: stands_for(group, ranks) for group in groups for member in group}
    followers = [member for member, head in heads.items() if member != head]
    return {identity: heads[member] for identity, member in _identities_of(connection, followers)}


def _recomputed(connection: Connection, pairs: Iterable[tuple[int, int]], rule: Rule) -> dict[int, int]:
    """The people that these touch, taken apart and put together anew from all of their alias lines."""
    people = set(persons(connection, {end for pair in pairs for end in pair}).values())
    members = {identity for identity, _ in _identities_of(connection, people)}
    lines = _lines_around(connection, members, excluded_ids(connection, rule))
    others = np.array(sorted(members), dtype=np.int64)
    identities, found = people_of(lines, others, partial(_names, connection), apart=rule.apart)
    return dict(zip(identities.tolist(), found.tolist(), strict=True))


def _names(connection: Connection, identities: Numbers) -> list[Any]:
    name = dict(select_in_batches(connection, "SELECT id, name FROM users WHERE id IN :ids", identities.tolist()))
    return [pa.array([name[identity] for identity in identities.tolist() if identity in name], pa.large_string())]


def _lines_around(connection: Connection, identities: set[int], untied: set[int]) -> Ties:
    """The alias lines that lead on from these, one after another."""
    lines: set[tuple[int, int, int]] = set()
    known: set[int] = set()
    frontier = identities
    while frontier:
        known |= frontier
        met = {line for line in select_in_batches(connection, LINES_AT, frontier) if untied.isdisjoint(line[:2])}
        lines |= met
        frontier = {end for one, other, _ in met for end in (one, other)} - known
    return Ties(*np.array(sorted(lines), dtype=np.int64).reshape(-1, 3).T)


LINES_AT = (
    "SELECT identity1_id, identity2_id, TO_SECONDS(t) FROM aliases WHERE identity1_id IN :ids "
    "UNION SELECT identity1_id, identity2_id, TO_SECONDS(t) FROM aliases WHERE identity2_id IN :ids"
)


def _identities_of(connection: Connection, people: Collection[int]) -> list[tuple[int, int]]:
    """The identities of these people, each with its person."""
    found = select_in_batches(connection, "SELECT identity_id, user_id FROM user_map WHERE user_id IN :ids", people)
    return [(int(identity), int(person)) for identity, person in found]


def _ranks_of(connection: Connection, identities: Collection[int]) -> dict[int, Rank]:
    """How each of these identities ranks among those of its person."""
    found = select_in_batches(connection, "SELECT id, name FROM users WHERE id IN :ids", identities)
    if len(found) < len(set(identities)):
        lost = len(set(identities)) - len(found)
        raise UnnamedError(f"`users` lacks {lost} identities that `aliases` or `user_map` has. Run `kmdb realias`.")
    return {int(identity): rank(name) for identity, name in found}
