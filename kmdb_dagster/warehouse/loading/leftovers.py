"""Rows of a revision that no bookkeeping knows of, because a row of the ledger was deleted by hand."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from kmdb_dagster.errors import TransientError
from kmdb_dagster.warehouse.connection.mysql_errors import error_number
from kmdb_dagster.warehouse.schema.row_ids import LINE_BITS, ORDINAL_BITS, id_range

DUPLICATE_KEY = 1062
UNBOUNDED = 2**63


class RowsInTheWayError(TransientError):
    """Rows with the ids of this revision are there already. The next attempt replaces them."""


class Leftovers:
    """Says whether tables hold rows of a revision that is not recorded as being in.

    The question looks into every time partition. One answer holds for all revisions up to the next row that there is,
    so a run that imports a range asks once.
    """

    def __init__(self, *tables: str) -> None:
        self._tables: Sequence[str] = tables
        self._empty = (0, 0)

    def may_be_there(self, connection: Connection, revision: int) -> bool:
        """Whether there may be rows of a revision, which this transaction has claimed and which is not recorded."""
        first, end = self._empty
        if not first <= revision < end:
            end = self._next_occupied(connection, revision)
            self._empty = revision, end
        return revision >= end

    @contextmanager
    def retried(self) -> Iterator[None]:
        """Ask again at the next attempt, if a row is in the way.

        Raises:
            RowsInTheWayError: instead of the server's error.
        """
        try:
            yield
        except (RowsInTheWayError, DBAPIError) as error:
            if isinstance(error, DBAPIError) and error_number(error) != DUPLICATE_KEY:
                raise
            self._empty = (0, 0)
            raise RowsInTheWayError(
                f"{self._tables[0]!r} holds rows of the revision that the ledger does not know. They are replaced."
            ) from None

    def _next_occupied(self, connection: Connection, revision: int) -> int:
        least = [f"SELECT MIN(id) AS id FROM {table} WHERE id >= :first" for table in self._tables]  # noqa: S608 - ours
        statement = text(f"SELECT MIN(id) FROM ({' UNION ALL '.join(least)}) ids")  # noqa: S608 - ours
        found = connection.execute(statement, {"first": id_range(revision)["first"]}).scalar()
        return UNBOUNDED if found is None else int(found) >> LINE_BITS + ORDINAL_BITS
