"""The people that alias lines make, of a few or of all of them: lines and names as arrays, the rule applied.

The rule itself is `warehouse.identity.resolution`; what is done with the result is its callers' business.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.identity.resolution import AliasEdges, canonical_identities, ranking
from kmdb_dagster.warehouse.schema.columns import IntColumn

Names = Callable[[IntColumn], list[Any]]
"""Given identities in order, gives their names in the same order, as arrays of Arrow's."""


class UnnamedError(PermanentError):
    """Identities have no row in ``users``."""


def resolve_identities(
    lines: AliasEdges, others: IntColumn, names: Names, *, apart: bool
) -> tuple[IntColumn, IntColumn]:
    """The identities of these alias lines, and ``others``, in order, and the person of each.

    Args:
        lines: the alias lines, as pairs of ``users.id``.
        others: ``users.id`` of identities that no line may have.
        names: reads the names of identities.
        apart: whether two numeric identities are never one person.

    Raises:
        UnnamedError: some of them have no name.
    """
    identities = np.unique(np.concatenate([lines.one, lines.other, others]))
    differ = lines.one != lines.other
    one, other = (np.searchsorted(identities, end[differ]) for end in (lines.one, lines.other))
    found = pa.chunked_array(names(identities), pa.large_string())
    if len(found) < len(identities):
        lost = len(identities) - len(found)
        raise UnnamedError(f"`users` lacks {lost} identities that `aliases` or `user_map` has. Run `kmdb realias`.")
    return identities, identities[
        canonical_identities(AliasEdges(one, other, lines.t[differ]), ranking(found), apart=apart)
    ]


def without(lines: AliasEdges, identities: set[int]) -> AliasEdges:
    """The alias lines that have none of these at either end."""
    if not identities:
        return lines
    kept = ~np.isin(lines.one, list(identities)) & ~np.isin(lines.other, list(identities))
    return AliasEdges(*(column[kept] for column in lines))
