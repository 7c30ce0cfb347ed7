"""Run monitoring knows of runs that went down with their code server. `python -m faults` kills real ones."""

import json
import socket
from pathlib import Path

import dagster as dg
import pytest

from kmdb_dagster.defs.launcher import RunLauncher

CODE_SERVER = ".dagster/grpc_info"
"""The tag in which Dagster notes it."""

YAML = Path(__file__).parents[2] / "dagster.yaml"


def said_of(path: str | None) -> str:
    """What monitoring is told of a run whose code server listens there."""
    tags = {} if path is None else {CODE_SERVER: json.dumps({"host": "localhost", "socket": path})}
    return str(RunLauncher().check_run_worker_health(dg.DagsterRun(job_name="a_job", tags=tags)))


def test_a_run_lives_as_long_as_its_code_server_listens(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        assert said_of(path).startswith("RUNNING")
    assert "killed, or the machine went down" in said_of(path)
    Path(path).unlink()
    assert said_of(path).startswith("NOT_FOUND")


def test_of_a_run_elsewhere_nothing_is_known() -> None:
    assert said_of(None).startswith("RUNNING")


@pytest.mark.usefixtures("bare_environment")
def test_it_is_the_launcher_that_dagster_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(YAML.read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_launcher, RunLauncher)
