"""The people that alias lines make, of a few or of all of them: lines and names as arrays, the rule applied.

The rule itself is `export.people`; what is done with the result is its callers' business.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.export.people import Numbers, Ties, persons, ranking

NAMES_PER_STATEMENT = 5000


def people_of(
    connection: Connection, lines: Ties, others: Numbers, *, apart: bool, report: Callable[[int, int], object]
) -> tuple[Numbers, Numbers]:
    """The identities of these alias lines, and of ``others``, in order, and the person of each.

    ``report`` is told how many names were read, of how many.
    """
    identities = np.unique(np.concatenate([lines.one, lines.other, others]))
    differ = lines.one != lines.other
    one, other = (np.searchsorted(identities, end[differ]) for end in (lines.one, lines.other))
    ranks = ranking(_names(connection, identities, report))
    return identities, identities[persons(Ties(one, other, lines.t[differ]), ranks, apart=apart)]


def without(lines: Ties, identities: set[int]) -> Ties:
    """The alias lines that have none of these at either end."""
    if not identities:
        return lines
    apart = ~np.isin(lines.one, list(identities)) & ~np.isin(lines.other, list(identities))
    return Ties(*(column[apart] for column in lines))


def _names(
    connection: Connection, identities: Numbers, report: Callable[[int, int], object]
) -> "pa.ChunkedArray[pa.LargeStringScalar]":
    chunks: list[Any] = []
    for start in range(0, len(identities), NAMES_PER_STATEMENT):
        wanted = identities[start : start + NAMES_PER_STATEMENT].tolist()
        found = connection.exec_driver_sql(
            f"SELECT name FROM users WHERE id IN ({','.join(map(str, wanted))}) ORDER BY id"  # noqa: S608 - numbers
        )
        names = [name for (name,) in found]
        if len(names) < len(wanted):
            raise PermanentError(f"`aliases` names {len(wanted) - len(names)} identities that `users` lacks.")
        chunks.append(pa.array(names, pa.large_string()))
        report(start + len(wanted), len(identities))
    return pa.chunked_array(chunks, pa.large_string())
