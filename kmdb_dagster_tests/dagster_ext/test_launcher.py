"""Run monitoring detects runs without their process. `python -m faults` kills real ones."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData  # noqa: TID251 - what a run writes of its process

from kmdb_dagster.dagster_ext import run_process
from kmdb_dagster.dagster_ext.launcher import PROCESS_TAG, RunLauncher
from testing.runs import leave_a_run

CODE_SERVER = ".dagster/grpc_info"
"""The tag in which Dagster notes it."""

YAML = Path(__file__).parents[2] / "dagster.yaml"


class Monitoring:
    """A launcher, as run monitoring asks it, and runs whose code server listens on a socket."""

    def __init__(self, instance: dg.DagsterInstance, path: Path) -> None:
        self.instance, self.path = instance, path
        self._launcher = RunLauncher()
        self._launcher.register_instance(instance)

    def run(self, tags: dict[str, str] | None = None) -> dg.DagsterRun:
        """A run that was started."""
        where = {CODE_SERVER: json.dumps({"host": "localhost", "socket": str(self.path)})}
        leave_a_run(self.instance, dg.DagsterRunStatus.STARTED, where if tags is None else tags)
        return self.instance.get_runs(limit=1)[0]

    def started(self, run: dg.DagsterRun, pid: int) -> None:
        """The run's process tells the history its number."""
        self.instance.report_engine_event(
            f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid)
        )

    def says(self, run: dg.DagsterRun) -> str:
        """What it answers now."""
        now = self.instance.get_run_by_id(run.run_id)
        assert now
        return str(self._launcher.check_run_worker_health(now))


@pytest.fixture
def monitoring(instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[Monitoring]:
    """A code server that listens, whatever it knows of runs."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield Monitoring(instance, path)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs for as long as it is let."""
    with subprocess.Popen(["sleep", "600"]) as started:  # noqa: S607 - wherever it is
        yield started
        started.kill()


@pytest.fixture(params=["known", "not asked about before"])
def run(request: pytest.FixtureRequest, monitoring: Monitoring, process: subprocess.Popen[bytes]) -> dg.DagsterRun:
    """A run of that process."""
    made = monitoring.run()
    monitoring.started(made, process.pid)
    if request.param == "known":
        assert monitoring.says(made).startswith("RUNNING")
    return made


def test_a_run_without_its_process_is_dead_although_its_code_server_listens(
    monitoring: Monitoring, run: dg.DagsterRun, process: subprocess.Popen[bytes]
) -> None:
    assert monitoring.says(run).startswith("RUNNING")
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie, as below a code server that is stuck
    assert monitoring.says(run).startswith("NOT_FOUND")
    process.wait()
    assert "killed, or the machine went down" in monitoring.says(run)


def test_a_run_with_its_process_is_alive_although_its_code_server_is_gone(
    monitoring: Monitoring, run: dg.DagsterRun
) -> None:
    monitoring.path.unlink()
    assert monitoring.says(run).startswith("RUNNING")


def test_another_process_with_a_reused_pid_is_not_the_run(
    monitoring: Monitoring, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = monitoring.run()
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda now=time.time: now() - 3600)
        monitoring.started(late, process.pid)
    assert monitoring.says(late).startswith("NOT_FOUND")


def test_setting_the_clock_ahead_kills_no_run(
    monitoring: Monitoring, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = monitoring.run()
    monitoring.started(run, process.pid)
    assert monitoring.says(run).startswith("RUNNING")
    monkeypatch.setattr("time.time", lambda now=time.time: now() + 1e8)
    assert monitoring.says(run).startswith("RUNNING")


def test_no_earlier_run_is_alive_after_a_reboot(
    monitoring: Monitoring, run: dg.DagsterRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert monitoring.says(run).startswith("RUNNING")
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr(run_process, "BOOT_ID", tmp_path / "boot_id")
    assert monitoring.says(run).startswith("NOT_FOUND")


def test_a_retry_is_distinguished_from_the_run_whose_tags_it_copied(monitoring: Monitoring, run: dg.DagsterRun) -> None:
    monitoring.says(run)
    parent = monitoring.instance.get_run_by_id(run.run_id)
    assert parent
    assert PROCESS_TAG in parent.tags
    retry = monitoring.run(dict(parent.tags))
    assert monitoring.says(retry).startswith("RUNNING")
    monitoring.started(retry, 2**22)
    assert monitoring.says(retry).startswith("NOT_FOUND")


@pytest.mark.parametrize("tag", ["57", "{}", "null", "no JSON", '{"pid": "x"}'])
def test_an_edited_process_tag_is_ignored(monitoring: Monitoring, tag: str) -> None:
    run = monitoring.run()
    monitoring.started(run, os.getpid())
    monitoring.instance.add_run_tags(run.run_id, {PROCESS_TAG: tag})
    assert monitoring.says(run).startswith("RUNNING")


def test_a_run_without_a_known_process_is_alive_while_its_code_server_listens(monitoring: Monitoring) -> None:
    run = monitoring.run()
    assert monitoring.says(run).startswith("RUNNING")
    monitoring.path.unlink()
    assert monitoring.says(run).startswith("NOT_FOUND")


def test_the_state_of_a_run_on_another_machine_is_unknown(monitoring: Monitoring) -> None:
    run = monitoring.run(tags={})
    monitoring.started(run, 2**22)
    assert monitoring.says(run).startswith("RUNNING")


@pytest.mark.usefixtures("bare_environment")
def test_dagster_yaml_names_the_launcher(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(YAML.read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_launcher, RunLauncher)
