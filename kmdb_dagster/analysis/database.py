"""The database that the model classes query: one for each process, as in km-db."""

from types import TracebackType
from typing import Self

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.settings import database_url, load_settings
from kmdb_dagster.warehouse.connection import server


class Connected:
    """The database of the model classes, until `close` or the end of a ``with`` block."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()
        if self in _connected:
            _connected.remove(self)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close."""
        self.close()


_connected: list[Connected] = []
"""The current database, or nothing."""


def connect(url: str | None = None) -> Connected:
    """Set the database of the model classes. The first query opens a connection.

    Args:
        url: ``mysql://USER:PASSWORD@HOST:PORT/DATABASE``; None: the setting DATABASE_URL.

    Raises:
        MissingSettingError: DATABASE_URL is not set.
        ValueError: ``url`` is not the URL of a MySQL database.
    """
    engine = server.connect(database_url(url) if url else load_settings().required_database())
    event.listen(engine, "connect", _read_only)
    # A transaction left open in a notebook would block the DDL that adds time partitions.
    connected = Connected(engine.execution_options(isolation_level="AUTOCOMMIT"))
    _connected[:] = [connected]
    return connected


def current_engine() -> Engine:
    """Return the engine of the current database.

    Raises:
        PermanentError: `connect` was not called, or the database is closed.
    """
    if not _connected:
        raise PermanentError("The model classes have no database. Call kmdb_dagster.connect() first.")
    return _connected[0].engine


def _read_only(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("SET SESSION TRANSACTION READ ONLY")
    cursor.close()
