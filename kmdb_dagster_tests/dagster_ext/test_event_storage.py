"""The connection to Dagster's own history."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine, Pool, create_engine, event

from kmdb_dagster.dagster_ext.event_storage import connection_kept
from kmdb_dagster.dagster_ext.instance import open_instance
from kmdb_dagster.settings import database_url
from kmdb_dagster_tests.defs.conftest import another_database
from kmdb_dagster_tests.defs.test_instance_files import MYSQL

EVENTS = dg.AssetKey("events")


@pytest.fixture
def history(tmp_path: Path, server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance with its history on the server."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(MYSQL, home)
    with another_database(server_url, f"kmdb_test_history_{os.getpid()}") as url:
        monkeypatch.setenv("DAGSTER_MYSQL_URL", database_url(url).render_as_string(hide_password=False))
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        with open_instance() as opened:
            yield opened


@pytest.fixture
def admin(server_url: str) -> Iterator[Engine]:
    """Somebody else on the server."""
    engine = create_engine(database_url(f"{server_url}/mysql"), isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def connections_for_ten_events(instance: dg.DagsterInstance) -> int:
    """How many connections this process opened for them."""
    opened: list[object] = []
    event.listen(Pool, "connect", note := lambda connection, _record: opened.append(connection))
    for number in range(10):
        instance.report_runless_asset_event(dg.AssetMaterialization(EVENTS, partition=str(number)))
    event.remove(Pool, "connect", note)
    return len(opened)


def test_events_share_a_connection_and_afterwards_each_has_its_own(history: dg.DagsterInstance) -> None:
    with connection_kept(history):
        assert connections_for_ten_events(history) <= 2
    assert connections_for_ten_events(history) >= 10
    assert len(history.get_materialized_partitions(EVENTS)) == 10


def test_a_connection_that_the_server_closed_is_replaced(history: dg.DagsterInstance, admin: Engine) -> None:
    with connection_kept(history):
        connections_for_ten_events(history)
        storage: Any = history.event_log_storage
        with storage.index_connection() as connection:
            number = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()
        with admin.connect() as connection:
            connection.exec_driver_sql(f"KILL {number}")
        history.report_runless_asset_event(dg.AssetMaterialization(EVENTS, partition="after"))
    assert "after" in history.get_materialized_partitions(EVENTS)


def test_a_history_in_files_is_left_as_it_is(instance: dg.DagsterInstance) -> None:
    with connection_kept(instance):
        instance.report_runless_asset_event(dg.AssetMaterialization(EVENTS, partition="1"))
    assert instance.get_materialized_partitions(EVENTS) == {"1"}
