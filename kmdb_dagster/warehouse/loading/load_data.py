"""Rows to the server by LOAD DATA LOCAL INFILE, faster than INSERT, which takes its place where it must.

What LOCAL lets pass with a warning, a value that does not fit or a row whose id is taken, is an error here.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake.files import translate_os_errors
from kmdb_dagster.warehouse.connection.mysql_errors import NOT_READY, error_number
from kmdb_dagster.warehouse.connection.server import insert
from kmdb_dagster.warehouse.loading.leftovers import DUPLICATE_KEY, RowsInTheWayError

log = logging.getLogger(__name__)

REFUSED = {
    NOT_READY,  # ProxySQL, unless mysql-enable_load_data_local_infile is true; a Galera node refuses INSERT as well
    1148,  # MariaDB before 10.5.2, MySQL 5: this command is not allowed
    2068,  # the client's library: rejected
    3948,  # MySQL 8: loading local data is disabled
    4166,  # MariaDB: the server or the client has disabled it
}

MAX_ROWS_PER_PIECE = 25_000
"""Rows that are text in memory at once."""

ESCAPED = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\0", "\\0"))
"""What would end a field or a line, in this order: the backslash first."""


def bulk_insert(connection: Connection, table: str, rows: pa.Table) -> None:
    """Put rows into a table.

    Args:
        connection: the transaction of the load.
        table: the table.
        rows: the rows, with the table's columns by name.

    Raises:
        RowsInTheWayError: rows with these ids are there.
        PermanentError: the server did not take each of them as it was.
    """
    if not rows.num_rows:
        return
    try:
        _load_data(connection, table, rows)
    except DBAPIError as error:
        if error_number(error) not in REFUSED:
            raise
        _warn(str(connection.engine.url.database))
        _insert(connection, table, rows)


def _load_data(connection: Connection, table: str, rows: pa.Table) -> None:
    columns = ", ".join(f"`{name}`" for name in rows.column_names)
    with _file_of(_pieces(rows)) as path:
        # Said in full: what a session has for a default does not matter.
        taken = connection.exec_driver_sql(
            f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE `{table}` CHARACTER SET utf8mb4 "
            r"FIELDS TERMINATED BY '\t' ENCLOSED BY '' ESCAPED BY '\\' LINES STARTING BY '' TERMINATED BY '\n' "
            f"({columns})"
        ).rowcount
    driver: Any = connection.connection.driver_connection
    if taken != rows.num_rows or driver.warning_count():
        # Their text may quote a value; their numbers do not.
        numbers = sorted({row[1] for row in connection.exec_driver_sql("SHOW WARNINGS")})
        if numbers == [DUPLICATE_KEY]:
            raise RowsInTheWayError(f"{rows.num_rows - taken} rows are in {table!r} already.")
        raise PermanentError(
            f"The server took {taken} of {rows.num_rows} rows into {table!r}, with warnings {numbers}. Nothing of it "
            "is kept."
        )


def _pieces(rows: pa.Table) -> Iterator[pa.Buffer]:
    for start in range(0, rows.num_rows, MAX_ROWS_PER_PIECE):
        yield as_text(rows.slice(start, MAX_ROWS_PER_PIECE))


def as_text(rows: pa.Table) -> pa.Buffer:
    """The rows as LOAD DATA reads them: a line each, tabs between the cells."""
    cells = [_cells(column.combine_chunks()) for column in rows.columns]
    lines = pc.binary_join_element_wise(pc.binary_join_element_wise(*cells, "\t"), "", "\n")
    return _bytes_of(lines)


def _cells(column: Any) -> Any:  # noqa: ANN401 - pyarrow's arrays are many classes
    cells = column.cast(pa.string())
    if pa.types.is_string(column.type):
        present = _bytes_of(cells).to_pybytes()
        for character, escaped in ESCAPED:
            if character.encode() in present:
                cells = pc.replace_substring(cells, character, escaped)
    return pc.fill_null(cells, "\\N") if cells.null_count else cells


def _bytes_of(strings: Any) -> pa.Buffer:  # noqa: ANN401 - as above
    """The text of an array, one after the other."""
    data = strings.buffers()[2]
    return pa.py_buffer(b"") if data is None else data


@contextmanager
def _file_of(pieces: Iterable[pa.Buffer]) -> Iterator[str]:
    """Text as a file, by a path for this process only: it has no name in any folder, and goes with the process."""
    # Outermost: what could not be written is tried again as the file is closed.
    with translate_os_errors(Path(tempfile.gettempdir()), "TMPDIR"), tempfile.TemporaryFile() as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        file.seek(0)
        yield f"/dev/fd/{file.fileno()}"


def _insert(connection: Connection, table: str, rows: pa.Table) -> None:
    columns = ", ".join(f"`{name}`" for name in rows.column_names)
    places = ", ".join(["%s"] * rows.num_columns)
    cells = (column.to_pylist() for column in rows.columns)
    insert(connection, f"INSERT INTO `{table}` ({columns}) VALUES ({places})", list(zip(*cells, strict=True)))  # noqa: S608


@cache
def _warn(database: str) -> None:
    """Say it once a process."""
    log.warning(
        "The server of database %r refuses LOAD DATA LOCAL INFILE, so rows go in by INSERT, which takes "
        "longer. Turn local_infile on there (docs/how-to/set-up.md).",
        database,
    )
