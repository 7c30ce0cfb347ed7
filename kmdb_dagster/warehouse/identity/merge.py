"""The people that alias edges touch: merged along new edges, or computed again where edges are gone.

The cost depends on these people, not on the size of the map. Requires `map_lock.lock_map`.
"""

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection

from kmdb_dagster.warehouse.connection.server import select_in_batches
from kmdb_dagster.warehouse.identity.components import UnnamedError, resolve_identities
from kmdb_dagster.warehouse.identity.resolution import AliasEdges, Rank, canonical_identity, components, rank
from kmdb_dagster.warehouse.identity.rules import Rule, excluded_ids
from kmdb_dagster.warehouse.identity.user_map import read_persons
from kmdb_dagster.warehouse.schema.columns import IntColumn

EDGES_AT = (
    "SELECT identity1_id, identity2_id, TO_SECONDS(t) FROM aliases WHERE identity1_id IN :ids "
    "UNION SELECT identity1_id, identity2_id, TO_SECONDS(t) FROM aliases WHERE identity2_id IN :ids"
)

Edges = set[tuple[int, int]]
"""Pairs of identity ids, the lower one first."""


def merge_people(connection: Connection, edges: Edges) -> dict[int, int]:
    """Merge people along new edges. Returns the new person of each identity that changes its person."""
    person = read_persons(connection, {end for edge in edges for end in edge})
    groups = [group for group in components([(person[a], person[b]) for a, b in edges]) if len(group) > 1]
    ranks = _ranks_of(connection, [member for group in groups for member in group])
    canonical = {member: canonical_identity(group, ranks) for group in groups for member in group}
    merged = [member for member, first in canonical.items() if member != first]
    return {identity: canonical[member] for identity, member in _identities_of(connection, merged)}


def recompute_people(connection: Connection, edges: Edges, rule: Rule) -> dict[int, int]:
    """Compute the people that these edges touch again, from all of their alias lines.

    Args:
        connection: a transaction that holds the lock on the map.
        edges: the alias edges of the changed lines, before and after, as pairs of ``users.id``.
        rule: the rule in force.

    Returns:
        The person of each of their identities.
    """
    people = set(read_persons(connection, {end for edge in edges for end in edge}).values())
    members = {identity for identity, _ in _identities_of(connection, people)}
    reachable = _reachable_edges(connection, members, excluded_ids(connection, rule))
    others = np.array(sorted(members), dtype=np.int64)
    identities, found = resolve_identities(reachable, others, partial(_names, connection), apart=rule.apart)
    return dict(zip(identities.tolist(), found.tolist(), strict=True))


def _names(connection: Connection, identities: IntColumn) -> list[Any]:
    name = dict(select_in_batches(connection, "SELECT id, name FROM users WHERE id IN :ids", identities.tolist()))
    return [pa.array([name[identity] for identity in identities.tolist() if identity in name], pa.large_string())]


def _reachable_edges(connection: Connection, identities: set[int], excluded: set[int]) -> AliasEdges:
    """Return all alias edges that can be reached from these identities."""
    edges: set[tuple[int, int, int]] = set()
    known: set[int] = set()
    frontier = identities
    while frontier:
        known |= frontier
        met = {edge for edge in select_in_batches(connection, EDGES_AT, frontier) if excluded.isdisjoint(edge[:2])}
        edges |= met
        frontier = {end for one, other, _ in met for end in (one, other)} - known
    return AliasEdges(*np.array(sorted(edges), dtype=np.int64).reshape(-1, 3).T)


def _identities_of(connection: Connection, people: Collection[int]) -> list[tuple[int, int]]:
    """Return (identity, person) for each identity of these people."""
    found = select_in_batches(connection, "SELECT identity_id, user_id FROM user_map WHERE user_id IN :ids", people)
    return [(int(identity), int(person)) for identity, person in found]


def _ranks_of(connection: Connection, identities: Iterable[int]) -> dict[int, Rank]:
    """Return the rank of each identity: the lowest of a person is its canonical identity."""
    wanted = set(identities)
    found = select_in_batches(connection, "SELECT id, name FROM users WHERE id IN :ids", wanted)
    if len(found) < len(wanted):
        lost = len(wanted) - len(found)
        raise UnnamedError(f"`users` lacks {lost} identities that `aliases` or `user_map` has. Run `kmdb realias`.")
    return {int(identity): rank(name) for identity, name in found}
