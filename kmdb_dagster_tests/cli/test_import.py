"""`kmdb import` while Dagster's daemon is gone, and says so."""

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from kmdb_dagster.cli import imports
from kmdb_dagster.cli.ui import configure
from kmdb_dagster.dagster_ext import backfills
from kmdb_dagster.dagster_ext.instance import MAX_HEARTBEAT_AGE_SECONDS, NEEDED_DAEMONS, daemon_problem
from testing.buckets import FolderOfRevisions, event
from testing.terminal import Terminal


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that needs both daemons, as the shipped dagster.yaml makes it."""
    configure(tmp_path / "instance")
    with dg.DagsterInstance.from_config(str(tmp_path / "instance")) as made:
        yield made


def report(instance: dg.DagsterInstance, age: float) -> None:
    """Set the age of the last heartbeat of the daemons, in seconds."""
    for daemon in NEEDED_DAEMONS:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - age, daemon, "its id", None))


def test_a_daemon_that_reported_a_moment_ago_runs(instance: dg.DagsterInstance) -> None:
    report(instance, 10)
    assert daemon_problem(instance) is None


def test_a_daemon_that_reported_some_minutes_ago_is_gone_although_dagster_calls_it_healthy(
    instance: dg.DagsterInstance,
) -> None:
    report(instance, MAX_HEARTBEAT_AGE_SECONDS + 60)
    assert all(status.healthy for status in instance.get_daemon_statuses(NEEDED_DAEMONS).values())
    assert daemon_problem(instance) == (
        "Dagster's daemon last reported 6 minutes ago, so no run starts. Start `kmdb ui` and leave it open."
    )


@pytest.fixture
def home(tmp_path: Path, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAGSTER_HOME whose daemon reported a moment ago, and is gone. The command sees the backfill end soon."""
    bucket.put(1, event("visited site"))
    home = tmp_path / "home"
    configure(home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        report(instance, 10)
    outcomes = iter([None, None, None, "COMPLETED_SUCCESS"])
    monkeypatch.setattr(backfills, "backfill_outcome", lambda *_: next(outcomes))
    monkeypatch.setattr(imports, "SECONDS_BETWEEN_POLLS", 0)
    return home


def test_an_import_that_nothing_picks_up_says_so_once(
    ready: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "SECONDS_UNTIL_PICKED_UP", 0)
    ended = ready.kmdb("import", DAGSTER_HOME=str(home))
    assert ended.err.count("Nothing has picked up the backfill for 60 seconds.") == 1
    assert "start `kmdb ui` and leave it open" in ended.err
    assert ended.out.endswith("All revisions are imported.\n")


def test_an_import_whose_daemon_stops_meanwhile_says_so_once(
    ready: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = iter([None, None, "Dagster's daemon last reported 6 minutes ago.", "Dagster's daemon …", None])
    monkeypatch.setattr("kmdb_dagster.dagster_ext.instance.daemon_problem", lambda _: next(problems))
    assert ready.kmdb("import", DAGSTER_HOME=str(home)).err.count("Dagster's daemon") == 1


def test_an_import_says_nothing_of_the_daemon_before_that(ready: Terminal, home: Path) -> None:
    ended = ready.kmdb("import", DAGSTER_HOME=str(home))
    assert "daemon" not in ended.err
