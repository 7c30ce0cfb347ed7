"""Alias lines as they are stored, and the incremental update of the user map, one revision at a time.

The cost depends on the people that the alias lines of the revision touch, not on the size of the map.
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
from kmdb_dagster.warehouse.identity.components import UnnamedError, resolve_identities
from kmdb_dagster.warehouse.identity.erasure_list import ERASED_MEANWHILE, read_erased_digests
from kmdb_dagster.warehouse.identity.map_lock import lock_map
from kmdb_dagster.warehouse.identity.resolution import AliasEdges, Rank, canonical_identity, components, rank
from kmdb_dagster.warehouse.identity.rules import Rule, adopt_rule, excluded_ids
from kmdb_dagster.warehouse.identity.user_map import read_persons, update_map
from kmdb_dagster.warehouse.interning.lookup import identity_ids
from kmdb_dagster.warehouse.loading.leftovers import Leftovers
from kmdb_dagster.warehouse.schema.columns import IntColumn
from kmdb_dagster.warehouse.schema.tables import id_range

OF_REVISION = "FROM aliases WHERE id BETWEEN :first AND :last"


class AliasLine(NamedTuple):
    """An alias line as it is in the export."""

    id: int
    t: datetime
    name1: str
    name2: str


class StoredAlias(NamedTuple):
    """An alias line as it is stored, with the ids of its identities."""

    id: int
    t: datetime
    name1: str
    name2: str
    identity1: int
    identity2: int


class ResolvedFile(NamedTuple):
    """The file from which a revision was resolved, and the span of its alias lines; None: it has no alias lines."""

    etag: str | None
    t_min: datetime | None
    t_max: datetime | None


def replace_aliases(  # noqa: PLR0913 - all of them decide the map
    engine: Engine,
    revision: int,
    etag: str | None,
    lines: list[AliasLine],
    *,
    numeric_apart: bool = False,
    erased: frozenset[bytes] = frozenset(),
    leftovers: Leftovers | None = None,
) -> int:
    """Replace the stored alias lines of a revision, and update the user map. Idempotent.

    If the lines are unchanged, this only reads. Identity ids are looked up in the transaction that stores them.

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
        before, stored = _stored(connection, revision) if known else [], _with_ids(connection, lines)
        if before:
            connection.execute(text(f"DELETE {OF_REVISION}"), id_range(revision))
        _store(connection, revision, etag, stored)
        pairs, pairs_before = _pairs(stored, rule), _pairs(before, rule)
        # With numeric identities apart, a new line or another time of the same line can split a person.
        may_split = rule.apart or pairs_before - pairs
        touched = pairs | pairs_before
        return update_map(
            connection, _recompute_people(connection, touched, rule) if may_split else _merge_people(connection, pairs)
        )


def read_resolved(connection: Connection, revision: int) -> ResolvedFile | None:
    """Return what a revision was resolved from. None: it never was."""
    found = connection.execute(
        text("SELECT etag, t_min, t_max FROM resolved_revisions WHERE revision = :revision"), {"revision": revision}
    ).one_or_none()
    return ResolvedFile(*found) if found else None


def count_aliases(connection: Connection, revision: int) -> int:
    """Count the stored alias lines of a revision."""
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
    if resolved != ResolvedFile(etag, min(times, default=None), max(times, default=None)):
        return False
    return _stored(connection, revision) == _with_ids(connection, lines)


def _with_ids(connection: Connection, lines: list[AliasLine]) -> list[StoredAlias]:
    ids = identity_ids(connection, {name for line in lines for name in (line.name1, line.name2)})
    return [StoredAlias(*line, ids[line.name1], ids[line.name2]) for line in lines]


def _stored(connection: Connection, revision: int) -> list[StoredAlias]:
    """Return the stored alias lines of a revision, wherever they are: their times may have been edited."""
    statement = f"SELECT id, t, name1, name2, identity1_id, identity2_id {OF_REVISION} ORDER BY id"
    return [StoredAlias(*row) for row in connection.execute(text(statement), id_range(revision))]


def _store(connection: Connection, revision: int, etag: str | None, stored: list[StoredAlias]) -> None:
    times = [line.t for line in stored]
    connection.execute(
        text(
            "REPLACE INTO resolved_revisions (revision, etag, t_min, t_max) VALUES (:revision, :etag, :t_min, :t_max)"
        ),
        {"revision": revision, "etag": etag, "t_min": min(times, default=None), "t_max": max(times, default=None)},
    )
    insert(
        connection,
        "INSERT INTO aliases (id, t, name1, name2, identity1_id, identity2_id) VALUES (%s, %s, %s, %s, %s, %s)",
        [tuple(line) for line in stored],
    )


def _pairs(stored: Iterable[StoredAlias], rule: Rule) -> set[tuple[int, int]]:
    """Return the alias edges of these lines: pairs of identity ids, the lower one first."""
    return {
        (min(line.identity1, line.identity2), max(line.identity1, line.identity2))
        for line in stored
        if rule.ties(line.name1, line.name2)
    }


def _merge_people(connection: Connection, pairs: Collection[tuple[int, int]]) -> dict[int, int]:
    """Merge people along new edges. Returns the new person of each identity that changes its person."""
    person = read_persons(connection, {end for pair in pairs for end in pair})
    groups = [group for group in components([(person[a], person[b]) for a, b in pairs]) if len(group) > 1]
    ranks = _ranks_of(connection, [member for group in groups for member in group])
    canonical = {member: canonical_identity(group, ranks) for group in groups for member in group}
    merged = [member for member, first in canonical.items() if member != first]
    return {identity: canonical[member] for identity, member in _identities_of(connection, merged)}


def _recompute_people(connection: Connection, pairs: Iterable[tuple[int, int]], rule: Rule) -> dict[int, int]:
    """Compute the people that these edges touch again, from all of their alias lines."""
    people = set(read_persons(connection, {end for pair in pairs for end in pair}).values())
    members = {identity for identity, _ in _identities_of(connection, people)}
    lines = _reachable_edges(connection, members, excluded_ids(connection, rule))
    others = np.array(sorted(members), dtype=np.int64)
    identities, found = resolve_identities(lines, others, partial(_names, connection), apart=rule.apart)
    return dict(zip(identities.tolist(), found.tolist(), strict=True))


def _names(connection: Connection, identities: IntColumn) -> list[Any]:
    name = dict(select_in_batches(connection, "SELECT id, name FROM users WHERE id IN :ids", identities.tolist()))
    return [pa.array([name[identity] for identity in identities.tolist() if identity in name], pa.large_string())]


def _reachable_edges(connection: Connection, identities: set[int], untied: set[int]) -> AliasEdges:
    """Return all alias edges that can be reached from these identities."""
    lines: set[tuple[int, int, int]] = set()
    known: set[int] = set()
    frontier = identities
    while frontier:
        known |= frontier
        met = {line for line in select_in_batches(connection, LINES_AT, frontier) if untied.isdisjoint(line[:2])}
        lines |= met
        frontier = {end for one, other, _ in met for end in (one, other)} - known
    return AliasEdges(*np.array(sorted(lines), dtype=np.int64).reshape(-1, 3).T)


LINES_AT = (
    "SELECT identity1_id, identity2_id, TO_SECONDS(t) FROM aliases WHERE identity1_id IN :ids "
    "UNION SELECT identity1_id, identity2_id, TO_SECONDS(t) FROM aliases WHERE identity2_id IN :ids"
)


def _identities_of(connection: Connection, people: Collection[int]) -> list[tuple[int, int]]:
    """Return (identity, person) for each identity of these people."""
    found = select_in_batches(connection, "SELECT identity_id, user_id FROM user_map WHERE user_id IN :ids", people)
    return [(int(identity), int(person)) for identity, person in found]


def _ranks_of(connection: Connection, identities: Collection[int]) -> dict[int, Rank]:
    """Return the rank of each identity: the lowest of a person is its canonical identity."""
    found = select_in_batches(connection, "SELECT id, name FROM users WHERE id IN :ids", identities)
    if len(found) < len(set(identities)):
        lost = len(set(identities)) - len(found)
        raise UnnamedError(f"`users` lacks {lost} identities that `aliases` or `user_map` has. Run `kmdb realias`.")
    return {int(identity): rank(name) for identity, name in found}
