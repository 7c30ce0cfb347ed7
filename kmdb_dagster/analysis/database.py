"""The database that the model classes ask: one for the process, as km-db's classes had one."""

from types import TracebackType
from typing import Self

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.settings import database_url, load_settings
from kmdb_dagster.warehouse.connection import server


class Connected:
    """A database in use by the model classes, until `close` or the end of a ``with``."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()
        if self in _connected:
            _connected.remove(self)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close."""
        self.close()


_connected: list[Connected] = []
"""The one in use, or none."""


def connect(url: str | None = None) -> Connected:
    """Let the model classes ask this database, in place of the one before. Nothing is opened yet.

    Args:
        url: ``mysql://USER:PASSWORD@HOST:PORT/DATABASE``; DATABASE_URL if it is not given.

    Raises:
        MissingSettingError: DATABASE_URL is not set.
        ValueError: it is not the URL of a MySQL database.
    """
    engine = server.connect(database_url(url) if url else load_settings().required_database())
    event.listen(engine, "connect", _read_only)
    # A transaction that somebody leaves open in a notebook would stand in the way of time partitions being added.
    connected = Connected(engine.execution_options(isolation_level="AUTOCOMMIT"))
    _connected[:] = [connected]
    return connected


def current_engine() -> Engine:
    """The connections in use.

    Raises:
        PermanentError: there are none yet, or none any more.
    """
    if not _connected:
        raise PermanentError("The model classes have no database: call kmdb_dagster.connect() first.")
    return _connected[0].engine


def _read_only(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("SET SESSION TRANSACTION READ ONLY")
    cursor.close()
