"""Results too large for memory: streamed by the driver's unbuffered cursor.

SQLAlchemy's rows would take four times as long.
"""

import gc
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
from MySQLdb.cursors import SSCursor
from sqlalchemy import Connection

from kmdb_dagster.warehouse.schema.columns import IntColumn

ROWS_PER_FETCH = 100_000


def stream(connection: Connection, statement: str, rows_per_fetch: int = ROWS_PER_FETCH) -> Generator[Sequence[Any]]:
    """Stream the rows of a statement in batches. Send no other statement on the connection before the last batch.

    Args:
        connection: a transaction. Nothing else may be sent on it before the last batch.
        statement: the SQL, without parameters.
        rows_per_fetch: the rows of a batch.
    """
    cursor = connection.connection.cursor(SSCursor)
    try:
        cursor.execute(statement)
        with _paused_garbage_collector():
            while rows := cursor.fetchmany(rows_per_fetch):
                yield rows
    finally:
        cursor.close()


@contextmanager
def _paused_garbage_collector() -> Iterator[None]:
    """The garbage collector off: it would look through all rows again and again, for three quarters of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def numbers(rows: Sequence[Any]) -> IntColumn:
    """Return rows of integers as an array."""
    return np.fromiter(chain.from_iterable(rows), dtype=np.int64).reshape(len(rows), -1)
