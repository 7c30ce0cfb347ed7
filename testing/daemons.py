"""A real Dagster daemon with its own code server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.processes import Process, end, spawn
from kmdb_dagster.cli.ui import configure

ROOT = Path(__file__).parents[1]


def make_home(home: Path) -> None:
    """Create a DAGSTER_HOME from the shipped dagster.yaml that monitors runs every two seconds."""
    configure(home)
    file = home / "dagster.yaml"
    file.write_text(file.read_text().replace("poll_interval_seconds: 60", "poll_interval_seconds: 2"))


@contextmanager
def running_daemon(log: Path) -> Iterator[Process]:
    """Run a daemon on the DAGSTER_HOME of the environment."""
    program = str(Path(sys.executable).parent / "dagster-daemon")
    started = spawn([program, "run", "-w", str(ROOT / "workspace.yaml")], log)
    try:
        yield started
    finally:
        end(started, patience=10)
