"""Databases on the server of the tests, dropped at the end of their block."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine

from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.schema.migrations import migrate

_numbers = itertools.count(1)


@contextmanager
def empty_database(server_url: str) -> Iterator[str]:
    """Create a database without tables, and yield its URL."""
    name = f"kmdb_test_{os.getpid()}_{next(_numbers)}"
    admin = create_engine(database_url(f"{server_url}/mysql"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield f"{server_url}/{name}"
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    admin.dispose()


def make_tables(url: str) -> None:
    """Create all tables in an empty database."""
    warehouse = Warehouse(database_url(url))
    migrate(warehouse.engine)
    warehouse.close()


@contextmanager
def named_database(server_url: str, name: str) -> Iterator[str]:
    """Create a database of this name, beside the one that a test has anyway, and yield its URL."""
    admin = create_engine(database_url(f"{server_url}/mysql"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield f"{server_url}/{name}"
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    admin.dispose()


@contextmanager
def new_warehouse(server_url: str) -> Iterator[Warehouse]:
    """Create a database with all tables, and yield its warehouse."""
    with empty_database(server_url) as url:
        make_tables(url)
        opened = Warehouse(database_url(url))
        yield opened
        opened.close()
