"""Identity resolution as pure functions: connected components of the alias graph, and their canonical identities.

KM's alias lines have no direction and no order, and may repeat and chain: a person is a connected component of the
alias graph. This module knows no storage.

There are two implementations with the same result: for few identities, and for very many as arrays.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kmdb_dagster.warehouse.schema.columns import IntColumn

_NUMERIC = re.compile("[0-9]+")

Rank = tuple[int, int, str, str]


def rank(identity: str) -> Rank:
    """Return the sort key of an identity. The lowest of a person is its canonical identity.

    Numeric ones (ASCII digits only) come first, compared as numbers of any length, then all others by code point.
    Two that are the same number ("7", "007") are ordered by code point.
    """
    if _NUMERIC.fullmatch(identity):
        digits = identity.lstrip("0")
        return (0, len(digits), digits, identity)
    return (1, 0, "", identity)


def components(edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the connected components of an undirected graph of numbered nodes, each sorted, single nodes included."""
    # Not by scipy: its import costs each run a fifth of a second, and the edges here are few.
    above: dict[int, int] = {}

    def root(node: int) -> int:
        while above.setdefault(node, node) != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    for one, other in edges:
        low, high = sorted((root(one), root(other)))
        above[high] = low
    found: dict[int, list[int]] = {}
    for node in sorted(above):
        found.setdefault(root(node), []).append(node)
    return list(found.values())


def canonical_identity(members: Iterable[int], ranks: dict[int, Rank]) -> int:
    """Return the member with the lowest rank."""
    return min(members, key=ranks.__getitem__)


class Ranking(NamedTuple):
    """Identities as places in an array. The first of ``order`` ranks lowest; the first ``numeric`` are numeric."""

    order: IntColumn
    numeric: int


def ranking(names: "pa.ChunkedArray[pa.LargeStringScalar]") -> Ranking:
    """Return the order of `rank` for very many identities."""
    numeric = pc.ascii_is_decimal(names)
    numbers, others = (np.flatnonzero(mask) for mask in (numeric, pc.invert(numeric)))
    found = names.filter(numeric)
    digits = pc.ascii_ltrim(found, "0")
    columns = {"length": pc.binary_length(digits), "digits": digits, "name": found}
    by_number = pc.sort_indices(pa.table(columns), sort_keys=[(name, "ascending") for name in columns])
    # UTF-8 has the order of the code points.
    by_code_point = pc.sort_indices(names.filter(pc.invert(numeric)))
    order = np.concatenate([numbers[by_number.to_numpy()], others[by_code_point.to_numpy()]])
    return Ranking(order, len(numbers))


class AliasEdges(NamedTuple):
    """Edges of the alias graph: the positions of both identities, and the time in seconds. No self-loops."""

    one: IntColumn
    other: IntColumn
    t: IntColumn


def canonical_identities(edges: AliasEdges, ranks: Ranking, *, apart: bool) -> IntColumn:
    """Return the canonical identity of each identity, both as positions in the ranked array.

    Args:
        edges: the alias edges, by positions in the ranked array.
        ranks: the order of the identities.
        apart: whether two numeric identities are never one person; see `_nearest`.

    Returns:
        One position per identity (int64).
    """
    count = len(ranks.order)
    labels = _components(edges.one, edges.other, count)
    # The last assignment to a place stays, which is the lowest identity.
    from_highest = ranks.order[::-1]
    heads = np.empty(labels.max(initial=-1) + 1, dtype=np.int64)
    heads[labels[from_highest]] = from_highest
    person = heads[labels]
    numeric = ranks.order[: ranks.numeric]
    if apart and len(numeric):
        crowded = (np.bincount(labels[numeric], minlength=len(heads)) > 1)[labels]
        nearest = _nearest(edges, ranks)
        person[crowded] = nearest[crowded]
    return person


def _nearest(edges: AliasEdges, ranks: Ranking) -> IntColumn:
    """Return the nearest numeric identity of each: by the fewest edges, then the earliest edge, then the lowest number.

    Breadth first from all numeric identities at once. An identity of the next level takes the person of its neighbour
    with the earliest edge; among equally early ones, the lowest person. An identity that no numeric identity reaches
    is -1. The time is linear in the number of edges, whatever the number of levels.
    """
    count = len(ranks.order)
    place = np.empty(count, dtype=np.int64)
    place[ranks.order] = np.arange(count)
    source, target = np.concatenate([edges.one, edges.other]), np.concatenate([edges.other, edges.one])
    by_source = np.argsort(source, kind="stable")
    target, t = target[by_source], np.concatenate([edges.t, edges.t])[by_source]
    first = np.searchsorted(source[by_source], np.arange(count + 1))
    person = np.full(count, -1, dtype=np.int64)
    level = ranks.order[: ranks.numeric]
    person[level] = level
    while len(level):
        degree = first[level + 1] - first[level]
        origin = np.repeat(level, degree)
        hops = np.arange(len(origin)) - np.repeat(np.cumsum(degree) - degree, degree) + first[origin]
        new = person[target[hops]] < 0
        origin, hops = origin[new], hops[new]
        # From the last to the first, because the last assignment to a place stays.
        best = np.lexsort((place[person[origin]], t[hops]))[::-1]
        person[target[hops[best]]] = person[origin[best]]
        level = np.unique(target[hops])
    return person


def _components(one: IntColumn, other: IntColumn, count: int) -> IntColumn:
    # Their import takes a quarter of a second.
    from scipy.sparse import coo_matrix  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    graph = coo_matrix((np.ones(len(one), dtype=np.bool_), (one, other)), shape=(count, count))
    labels: IntColumn = connected_components(graph, directed=False)[1]
    return labels
