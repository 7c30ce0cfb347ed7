"""Imports as an operator sees them: with a real daemon that starts real processes.

All of it is asked for as soon as the daemon is there, and looked at while it works: Dagster looks for backfills
every 30 seconds. There is no setting for it.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest
from sqlalchemy import text

from dev.processes import alive, end, spawn, tail, wait_until
from kmdb_dagster.cli import ui
from kmdb_dagster.dagster_ext.backfills import backfill_outcome, request_range
from kmdb_dagster.dagster_ext.instance import open_instance, require_daemon
from kmdb_dagster.dagster_ext.run_ranges import active_imports
from kmdb_dagster.dagster_ext.sensor_state import find_stalled_import
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.settings import Settings, database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.schema.migrations import migrate
from testing.alert_receivers import Hook, serving
from testing.buckets import FolderOfRevisions, event
from testing.databases import named_database

pytestmark = pytest.mark.xdist_group("backfills")  # one daemon is enough for all of them

PATIENCE = 150.0
PROGRAMS = Path(sys.executable).parent


class Asked(NamedTuple):
    """What was asked of the daemon, all at once."""

    instance: dg.DagsterInstance
    typed_range: str
    good: subprocess.Popen[str]
    bad: subprocess.Popen[str]


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    """Who is told of what goes wrong."""
    server = Hook()
    with serving(server):
        yield server


@pytest.fixture(scope="module")
def _environment(server_url: str, tmp_path_factory: pytest.TempPathFactory, hook: Hook) -> Iterator[None]:
    """A bucket of 1, 3 and 4 (2 was imported before and is missing now), an empty warehouse, a DAGSTER_HOME."""
    folder = tmp_path_factory.mktemp("daemon")
    bucket = FolderOfRevisions(folder / "bucket")
    for number in (1, 3, 4):
        bucket.put(number, event("visited site"))
    with named_database(server_url, f"kmdb_test_daemon_{os.getpid()}") as url, pytest.MonkeyPatch.context() as patch:
        for field in Settings.model_fields.values():
            patch.delenv(str(field.alias), raising=False)
        patch.setenv("DATABASE_URL", url)
        patch.setenv("KMDB_LOCAL_BUCKET", str(bucket.folder))
        patch.setenv("KMDB_DATA_DIR", str(folder / "lake"))
        patch.setenv("DAGSTER_HOME", str(folder / "home"))
        patch.chdir(folder)
        patch.setenv("KMDB_ALERT_URLS", hook.url)
        ui.configure(folder / "home")
        warehouse = Warehouse(database_url(url))
        migrate(warehouse.engine)
        with warehouse.engine.begin() as connection:
            connection.execute(
                text("INSERT INTO revisions (revision, etag, imported_at) VALUES (2, 'e', '2014-01-01')")
            )
        warehouse.close()
        yield


@pytest.fixture(scope="module")
def instance(_environment: None) -> Iterator[dg.DagsterInstance]:
    """The instance in DAGSTER_HOME, with its daemon at work."""
    with open_instance() as opened:
        log = Path(os.environ["DAGSTER_HOME"]) / "daemon.log"
        daemon = spawn([str(PROGRAMS / "dagster-daemon"), "run", "-m", "kmdb_dagster.definitions"], log)
        try:
            assert wait_until(lambda: not alive(daemon) or is_at_work(opened), 60), tail(log)
            yield opened
        finally:
            end(daemon)


def asked_by_the_sensor(instance: dg.DagsterInstance, *statuses: dg.DagsterRunStatus) -> int:
    filters = dg.RunsFilter(tags={"dagster/sensor_name": "new_revisions"}, statuses=statuses or None)
    return instance.get_runs_count(filters)


def is_at_work(instance: dg.DagsterInstance) -> bool:
    try:
        require_daemon(instance)
    except PermanentError:
        return False
    return True


@pytest.fixture(scope="module")
def asked(instance: dg.DagsterInstance) -> Iterator[Asked]:
    """A typed range, and two commands at terminals; the sensor, which waits for backfills, was there before."""
    assert wait_until(lambda: asked_by_the_sensor(instance) == 2, PATIENCE)
    typed_range = request_range(instance, Kmdb(), 1, 4).id
    commands = [kmdb("import", "3..4"), kmdb("import", "1..2")]
    yield Asked(instance, typed_range, *commands)
    for command in commands:
        command.kill()
        command.communicate()


def kmdb(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own command
        [str(PROGRAMS / "kmdb"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_sensor_imports_new_revisions(asked: Asked) -> None:
    assert wait_until(lambda: asked_by_the_sensor(asked.instance, dg.DagsterRunStatus.SUCCESS) == 2, PATIENCE)
    # Revision 2 is in the ledger, so the job `record_loaded` may have recorded it by now.
    assert asked.instance.get_materialized_partitions(dg.AssetKey("events")) >= {"1", "3", "4"}


def test_a_typed_range_becomes_a_backfill_whose_failed_revision_does_not_affect_the_others(asked: Asked) -> None:
    assert wait_until(lambda: backfill_outcome(asked.instance, asked.typed_range) is not None, PATIENCE)
    assert backfill_outcome(asked.instance, asked.typed_range) == "COMPLETED_FAILED"
    backfill = asked.instance.get_backfill(asked.typed_range)
    assert backfill is not None
    assert backfill.title == "revisions 1..4"
    progress = backfill.asset_backfill_data
    assert progress is not None
    for asset in ("raw_revisions", "parsed_events", "user_map", "events", "properties"):
        key = dg.AssetKey(asset)
        assert set(progress.materialized_subset.get_partitions_subset(key).get_partition_keys()) == {"1", "3", "4"}
        assert set(progress.failed_and_downstream_subset.get_partitions_subset(key).get_partition_keys()) == {"2"}


def test_kmdb_import_follows_to_the_end(asked: Asked) -> None:
    out, err = asked.good.communicate(timeout=PATIENCE)
    assert asked.good.returncode == 0, err
    assert "2 revisions. Dagster looks for backfills every 30 seconds." in out
    assert out.endswith("All revisions are imported.\n")


def test_kmdb_import_ends_with_the_reason_of_each_revision_that_failed(asked: Asked) -> None:
    out, err = asked.bad.communicate(timeout=PATIENCE)
    assert asked.bad.returncode == 1, out
    assert "\nrevision 2, raw_revisions: " in f"\n{err}"
    assert "kmdb: The backfill ended as COMPLETED_FAILED; 1 revisions failed. " in err
    assert err.endswith("Open the run in Dagster's UI.\n")
    assert "Traceback" not in err


def test_kmdb_import_no_wait_requests_everything_outstanding(asked: Asked) -> None:
    # Revision 2 is not requested while a run or a backfill over it is active.
    assert wait_until(lambda: not active_imports(asked.instance).under_way, PATIENCE)
    command = kmdb("import", "--no-wait")
    out, err = command.communicate(timeout=PATIENCE)
    assert command.returncode == 0, err
    assert "1 revisions." in out
    backfills = {backfill.backfill_id: backfill.title for backfill in asked.instance.get_backfills()}
    assert backfills[out.removeprefix("Backfill ").partition(":")[0]] == "outstanding revisions: 2"


@pytest.mark.usefixtures("asked")
def test_the_daemon_reports_the_failure_in_one_message(hook: Hook) -> None:
    assert wait_until(lambda: bool(hook.taken), PATIENCE)
    (posted,) = hook.taken
    assert posted["title"].startswith("kmdb: the import of revisions ")


def test_a_sensor_that_stopped_ticking_is_detected(asked: Asked) -> None:
    assert find_stalled_import(asked.instance, time.time(), 1, "http://here") is None
    found = find_stalled_import(asked.instance, time.time() + 7200, 1, "http://here")
    assert found is not None
    assert "it does not tick" in found.text
