"""Who is the same person, and which identity stands for one. Pure rules over identities.

KM's aliases have no direction and no order, may be repeated and chained: a person is a connected component of
the graph that they make. Where the graph is stored is not known here.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

_NUMERIC = re.compile("[0-9]+")

Rank = tuple[int, int, str, str]


def rank(identity: str) -> Rank:
    """The order in which identities stand for a person: the lowest does.

    Numeric ones (ASCII digits only) come first, compared as numbers of any length, then all others by code point.
    Two that are the same number ("7", "007") are ordered by code point.
    """
    if _NUMERIC.fullmatch(identity):
        digits = identity.lstrip("0")
        return (0, len(digits), digits, identity)
    return (1, 0, "", identity)


def components(ties: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The connected components of an undirected graph of numbered nodes, each sorted, those of one node too."""
    if not ties:
        return []
    nodes, ends = np.unique(np.asarray(ties, dtype=np.int64).ravel(), return_inverse=True)
    left, right = ends.reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(left), dtype=np.bool_), (left, right)), shape=(len(nodes), len(nodes)))
    count, labels = connected_components(graph, directed=False)
    order = np.argsort(labels, kind="stable")
    cuts = np.searchsorted(labels[order], np.arange(1, count))
    return [group.tolist() for group in np.split(nodes[order], cuts)]


def stands_for(members: Iterable[int], ranks: dict[int, Rank]) -> int:
    """The member that stands for the person."""
    return min(members, key=ranks.__getitem__)
