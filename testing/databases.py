"""Databases on the server of the tests: empty ones, which are dropped at the end of their block, and a pool of others.

Creating the tables takes longer than most tests, so a `DatabasePool` empties a database after a test for the next one.
"""

import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.bindings import database_id
from kmdb_dagster.warehouse.schema.migrations import migrate
from kmdb_dagster.warehouse.schema.state_rows import restore_warehouse_state
from kmdb_dagster.warehouse.schema.tables import Base

MAX_ROWS_TO_DELETE = 2000
"""Above this, dropping a database takes less time than deleting its rows and what InnoDB has to purge of them."""

CONNECTIONS = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
NEXT_ID = re.compile(r" AUTO_INCREMENT=\d+")

_numbers = itertools.count(1)


class DatabasePool:
    """Databases with all tables and no rows, each lent to one test at a time.

    A database whose schema a test has changed, or which holds many rows, is dropped and not lent again.
    """

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._free: list[str] = []
        self._schema: list[str] = []

    @contextmanager
    def lend(self) -> Iterator[str]:
        """Lend a database, and yield its URL."""
        url = self._free.pop() if self._free else self._create()
        try:
            yield url
        finally:
            self._take_back(url)

    def close(self) -> None:
        """Drop all databases of the pool."""
        while self._free:
            drop_database(self._free.pop())

    def _create(self) -> str:
        url = create_database(self._server_url)
        make_tables(url)
        if not self._schema:
            with _admin(url) as connection:
                self._schema = _schema(connection)
        return url

    def _take_back(self, url: str) -> None:
        with _admin(url) as connection:
            _end_connections(connection)
            reusable = _schema(connection) == self._schema and _is_small(connection)
        if reusable:
            engine = create_engine(database_url(url))
            empty_tables(engine)
            engine.dispose()
            self._free.append(url)
        else:
            drop_database(url)


def empty_tables(engine: Engine) -> None:
    """Empty a database, as `kmdb migrate` makes it. By DELETE, which is faster than TRUNCATE for few rows."""
    with engine.begin() as connection:
        for table in Base.metadata.tables:
            connection.exec_driver_sql(f"DELETE FROM `{table}`")  # noqa: S608 - ours
        for table in ("keys", "users"):
            connection.exec_driver_sql(f"ALTER TABLE `{table}` AUTO_INCREMENT = 1")
        restore_warehouse_state(connection)
        connection.execute(text("INSERT INTO map_state (id) VALUES (1)"))
    database_id(engine)


def create_database(server_url: str) -> str:
    """Create a database without tables, and return its URL."""
    name = f"kmdb_test_{os.getpid()}_{next(_numbers)}"
    with _admin(f"{server_url}/mysql") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return f"{server_url}/{name}"


def drop_database(url: str) -> None:
    """Drop the database of this URL."""
    server_url, _, name = url.rpartition("/")
    with _admin(f"{server_url}/mysql") as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")


@contextmanager
def empty_database(server_url: str) -> Iterator[str]:
    """Create a database without tables, and yield its URL."""
    url = create_database(server_url)
    yield url
    drop_database(url)


def make_tables(url: str) -> None:
    """Create all tables in an empty database."""
    warehouse = Warehouse(database_url(url))
    migrate(warehouse.engine)
    warehouse.close()


@contextmanager
def named_database(server_url: str, name: str) -> Iterator[str]:
    """Create a database of this name, beside the one that a test has anyway, and yield its URL."""
    url = f"{server_url}/{name}"
    drop_database(url)
    with _admin(f"{server_url}/mysql") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield url
    drop_database(url)


@contextmanager
def new_warehouse(server_url: str) -> Iterator[Warehouse]:
    """Create a database with all tables, and yield its warehouse."""
    with empty_database(server_url) as url:
        make_tables(url)
        opened = Warehouse(database_url(url))
        yield opened
        opened.close()


@contextmanager
def _admin(url: str) -> Iterator[Connection]:
    engine = create_engine(database_url(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def _schema(connection: Connection) -> list[str]:
    """Read the definitions of all tables, views and triggers, and the schema version."""
    names = connection.exec_driver_sql("SHOW TABLES").scalars().all()
    shown = [connection.exec_driver_sql(f"SHOW CREATE TABLE `{name}`").one()[1] for name in names]
    triggers = connection.exec_driver_sql("SHOW TRIGGERS").all()
    versions = connection.exec_driver_sql("SELECT * FROM alembic_version").all() if "alembic_version" in names else []
    return [*(NEXT_ID.sub("", definition) for definition in shown), *map(str, triggers), *map(str, versions)]


def _is_small(connection: Connection) -> bool:
    tables = " + ".join(f"(SELECT COUNT(*) FROM `{table}`)" for table in Base.metadata.tables)  # noqa: S608 - ours
    return int(connection.exec_driver_sql(f"SELECT {tables}").scalar_one()) <= MAX_ROWS_TO_DELETE


def _end_connections(connection: Connection) -> None:
    """End what a test left behind, e.g. the transaction of a killed process."""
    for thread in connection.exec_driver_sql(CONNECTIONS).scalars().all():
        with suppress(OperationalError):  # it has ended by itself meanwhile
            connection.exec_driver_sql(f"KILL {thread}")
