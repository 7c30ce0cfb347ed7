"""Runs and their monitoring survive an outage of Dagster's history."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import create_engine

from dev.servers import MARIADB, Server, start, stop
from kmdb_dagster.dagster_ext import history_storage
from kmdb_dagster.dagster_ext.instance import open_instance
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.lake import ParsedRevision
from kmdb_dagster.pipeline import Figures, Pipeline, parse
from testing.buckets import FolderOfRevisions, event
from testing.instance_files import MYSQL, SQLITE
from testing.runs import import_range

EVENTS = dg.AssetKey("events")
SECONDS_AWAY = 4.0


class Outage:
    """A server of Dagster's history alone, which can be unavailable for a while."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.server: Server = start(MARIADB, folder)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The history's database."""
        return f"mysql+mysqldb://root@127.0.0.1:{self.server.port}/history?charset=utf8mb4"

    def begin(self) -> None:
        """Stop the server, and start it again after a while."""
        stop(self.server)
        self._thread = threading.Thread(target=self._end)
        self._thread.start()

    def wait(self) -> None:
        """Wait until it is available."""
        if self._thread:
            self._thread.join()

    def _end(self) -> None:
        time.sleep(SECONDS_AWAY)
        self.server = start(MARIADB, self._folder, self.server.port)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    """A server for all tests of this module."""
    made = Outage(tmp_path_factory.mktemp("history"))
    yield made
    made.wait()
    stop(made.server)


@pytest.fixture
def outage(server: Outage) -> Iterator[Outage]:
    """The server with an empty history."""
    engine = create_engine(server.url.replace("/history", "/mysql"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("SET foreign_key_checks = 0")
        connection.exec_driver_sql("CREATE OR REPLACE DATABASE history")
    engine.dispose()
    yield server
    server.wait()


@pytest.fixture
def kept(outage: Outage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance with its history there, by the shipped dagster.yaml."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(MYSQL, home)
    monkeypatch.setenv("DAGSTER_MYSQL_URL", outage.url)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with open_instance() as opened:
        yield opened


def test_a_run_survives_a_restart_of_the_history_server(
    kmdb: Kmdb,
    bucket: FolderOfRevisions,
    kept: dg.DagsterInstance,
    outage: Outage,
    *,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bucket.put(1, event("visited site"))
    bucket.put(2, event("visited site"))

    def parse_and_stop(opened: Pipeline, revision: int) -> tuple[Figures, ParsedRevision]:
        if revision == 2:
            outage.begin()
        return parse(opened, revision)

    monkeypatch.setattr("kmdb_dagster.pipeline.parse", parse_and_stop)
    assert import_range(kept, kmdb, 1, 2).success
    assert kept.get_materialized_partitions(EVENTS) == {"1", "2"}
    assert [run.status for run in kept.get_runs()] == [dg.DagsterRunStatus.SUCCESS]
    said = [record.getMessage() for record in caplog.records if record.name == history_storage.__name__]
    assert said
    assert not any("INSERT" in message or "root" in message for message in said)


def test_opening_the_history_waits_for_its_server(kept: dg.DagsterInstance, outage: Outage) -> None:
    outage.begin()
    with dg.DagsterInstance.from_ref(kept.get_ref()) as opened:
        assert list(opened.get_runs()) == []


def test_the_webserver_does_not_wait_for_an_outage(kept: dg.DagsterInstance, outage: Outage) -> None:
    kept.optimize_for_webserver(statement_timeout=5000, pool_recycle=3600, max_overflow=20)
    outage.begin()
    began = time.monotonic()
    with pytest.raises(Exception, match=r"2002|too many retries"):
        kept.get_runs()
    assert time.monotonic() - began < SECONDS_AWAY


def test_an_outage_over_the_limit_raises_the_original_error(
    kept: dg.DagsterInstance, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_storage, "MAX_OUTAGE_SECONDS", 0.5)
    outage.begin()
    with pytest.raises(Exception, match=r"2002|too many retries"):
        kept.get_runs()


def test_a_defect_is_raised_at_once(kept: dg.DagsterInstance) -> None:
    with kept.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]  # Dagster's, on SQL
        connection.exec_driver_sql("RENAME TABLE runs TO hidden")
    began = time.monotonic()
    with pytest.raises(Exception, match="1146"):
        kept.get_runs()
    assert time.monotonic() - began < SECONDS_AWAY


FULL = """
import resource, threading, sys
import dagster as dg
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    instance.report_runless_asset_event(dg.AssetMaterialization("events", partition="1"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    threading.Timer(2, resource.setrlimit, (resource.RLIMIT_FSIZE, (soft, hard))).start()
    instance.report_runless_asset_event(dg.AssetMaterialization("events", partition="2"))
    sys.exit(0 if instance.get_materialized_partitions(dg.AssetKey("events")) == {"1", "2"} else 1)
"""
"""No file may grow for two seconds, as on a full disk."""


@pytest.mark.usefixtures("bare_environment")
def test_a_temporarily_full_disk_loses_no_event(tmp_path: Path) -> None:
    shutil.copy(SQLITE, tmp_path)
    done = subprocess.run(  # noqa: S603 - this file's own text
        [sys.executable, "-c", FULL, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Dagster's history is unavailable" in done.stderr
