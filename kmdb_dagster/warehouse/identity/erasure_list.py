"""The erasure list as imports read it: digests of erased identities, and the interface of a redactor.

The package `erasure` writes the list and implements `Redactor`. The pipeline passes a redactor to resolve and load.
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias

import pyarrow as pa
from sqlalchemy import Connection, Engine, text

ERASED_MEANWHILE = "An identity was erased while this step was running. The step starts again."


class Redactor(Protocol):
    """Removes erased people from batches of records."""

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch with a record of kind ``forgotten`` for each one that names an erased identity."""

    def extend_erasures(self, engine: Engine, *, numeric_apart: bool) -> None:
        """Add the identities to the list that alias lines, seen so far, connect with an erased one."""


MakeRedactor: TypeAlias = Callable[[frozenset[bytes]], Redactor]
"""Makes a redactor of the digests of erased identities."""


def read_erased_digests(connection: Connection) -> frozenset[bytes]:
    """Return the digests of all erased identities, complete or not.

    Append-only: an identity is never un-erased while a run is active.
    """
    return frozenset(map(bytes, connection.execute(text("SELECT digest FROM forgotten_identities")).scalars()))


def people_being_erased(connection: Connection) -> frozenset[int]:
    """Return the people with an erased identity that is still in the database: their erasure is not complete."""
    found = connection.execute(
        text(
            "SELECT DISTINCT m.user_id FROM forgotten_identities f JOIN users u ON u.digest = f.digest "
            "JOIN user_map m ON m.identity_id = u.id"
        )
    )
    return frozenset(map(int, found.scalars()))


def count_pending_erasures(connection: Connection) -> int:
    """Return the number of identities whose erasure is not complete."""
    found = connection.execute(text("SELECT COUNT(*) FROM forgotten_identities WHERE done_at IS NULL"))
    return int(found.scalar_one())
