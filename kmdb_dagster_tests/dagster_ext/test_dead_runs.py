"""A run that dies while its code server cannot report it: a real daemon, its code server and its run."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest

from dev.processes import wait_until
from kmdb_dagster.dagster_ext.instance import open_instance
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.sample import sample_revision
from testing.buckets import FolderOfRevisions
from testing.daemons import make_home, running_daemon

pytestmark = pytest.mark.xdist_group("daemon")

PATIENCE = 150.0


@pytest.fixture
def daemon(kmdb: Kmdb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """A daemon by the shipped dagster.yaml, which looks for dead runs every two seconds."""
    del kmdb  # for its environment
    make_home(tmp_path / "home")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with running_daemon(tmp_path / "log"), open_instance() as instance:
        yield instance


def process_of(instance: dg.DagsterInstance) -> int:
    """The number of the process of a run that has started; 0: there is none."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            if entry.dagster_event and (pid := entry.dagster_event.engine_event_data.metadata.get("pid")):
                return int(str(pid.value))
    return 0


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_run_killed_while_its_code_server_hangs_fails_and_is_retried(
    daemon: dg.DagsterInstance, bucket: FolderOfRevisions
) -> None:
    for revision in range(1, 30):
        bucket.put(revision, sample_revision(revision, lines=3000))
    assert wait_until(lambda: bool(process_of(daemon)), PATIENCE)
    run = process_of(daemon)
    code_server = parent_of(run)
    os.kill(code_server, signal.SIGSTOP)
    try:
        os.kill(run, signal.SIGKILL)
        assert wait_until(lambda: bool(daemon.get_runs(FAILED)), PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            os.kill(code_server, signal.SIGCONT)
    (failed,) = daemon.get_runs(FAILED)
    said = " ".join(entry.message for entry in daemon.all_logs(failed.run_id))
    assert "the process of the run is gone: killed, or the machine went down" in said
    again = dg.RunsFilter(tags={"dagster/parent_run_id": failed.run_id})
    assert wait_until(lambda: bool(daemon.get_runs(again)), PATIENCE)


FAILED = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
