"""What the tests of Dagster's side may ask for."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import dagster as dg
import pytest
from sqlalchemy import create_engine

from kmdb_dagster.settings import database_url


@contextmanager
def another_database(server_url: str, name: str) -> Iterator[str]:
    """The URL of a database beside the one that a test has anyhow."""
    admin = create_engine(database_url(f"{server_url}/mysql"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield f"{server_url}/{name}"
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    admin.dispose()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of this test's own, in memory: on disk, SQLite takes longer than the tests."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever tries again does so at once."""
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))
