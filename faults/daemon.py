"""Dagster's daemon, its runs and its history, in the shipped configuration."""

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg

from dev.processes import Process, end, spawn
from faults.site import Site
from kmdb_dagster.cli.ui import configure
from kmdb_dagster.dagster_ext.asset_keys import REVISION_ASSETS
from kmdb_dagster.dagster_ext.run_ranges import ACTIVE_STATUSES

ROOT = Path(__file__).parent.parent
PER_RUN = 2
HISTORY = "kmdb_faults_dagster"
"""The database of the history, where that is on the server of the warehouse."""


class Dagster:
    """A daemon, its runs, and their history."""

    def __init__(self, site: Site, *, history_on_server: bool = False, retries: bool = True) -> None:
        self._home = site.work / "dagster"
        shutil.rmtree(self._home, ignore_errors=True)
        if history_on_server:
            self._put_history_on_server(site)
        configure(self._home)
        # The only differences from the shipped file: shorter intervals.
        self._change("poll_interval_seconds: 60", "poll_interval_seconds: 2")
        self._change("start_timeout_seconds: 180", "start_timeout_seconds: 90")
        if not retries:
            self._change("max_retries: 2", "max_retries: 0")
        self._settings = {
            **site.settings(),
            "KMDB_REVISIONS_PER_RUN": str(PER_RUN),
            "KMDB_RUNS_AHEAD": "100",
            "DAGSTER_HOME": str(self._home),
            # This checkout, not an installed package.
            "PYTHONPATH": str(ROOT),
        }
        self._started: list[Process] = []
        self.log = self._home / "daemon.log"
        self.instance = dg.DagsterInstance.from_config(str(self._home))

    def _put_history_on_server(self, site: Site) -> None:
        url = site.database.recreate(HISTORY).replace("mysql://", "mysql+mysqldb://")
        # This process reads the history too.
        os.environ["DAGSTER_MYSQL_URL"] = f"{url}?charset=utf8mb4"
        self._home.mkdir(parents=True)
        shutil.copy(ROOT / "deploy" / "mysql" / "dagster.yaml", self._home)

    def _change(self, shipped: str, ours: str) -> None:
        file = self._home / "dagster.yaml"
        text = file.read_text()
        assert shipped in text, f"dagster.yaml has no {shipped!r}"
        file.write_text(text.replace(shipped, ours))

    def start(self) -> None:
        """Start the daemon."""
        program = str(Path(sys.executable).parent / "dagster-daemon")
        command = ["env", "-C", str(self._home), program, "run", "-w", str(ROOT / "workspace.yaml")]
        self._started.append(spawn(command, self.log, {**os.environ, **self._settings}))

    def kill_daemon(self) -> None:
        """Kill the daemon alone (SIGKILL)."""
        os.kill(self._started[-1].pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill the daemon, its code server and its runs (SIGKILL), as a crash of the machine does."""
        for process in self._started:
            with suppress(ProcessLookupError):
                for pid in _session(process.pid):
                    os.kill(pid, signal.SIGKILL)

    def runs(self) -> list[dg.DagsterRun]:
        """Return the runs that have started and not ended."""
        return list(self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])))

    def begun(self) -> set[str]:
        """Return the ids of the runs that have started."""
        return {run.run_id for run in self.runs()}

    def idle(self) -> bool:
        """Return whether no run is active."""
        return not self.instance.get_runs(dg.RunsFilter(statuses=ACTIVE_STATUSES), limit=1)

    def recorded(self) -> set[int]:
        """Return the revisions that are materialized in each of the five assets."""
        found = [self.instance.get_materialized_partitions(key) for key in REVISION_ASSETS]
        return set(map(int, set.intersection(*map(set, found))))

    def pid_of(self, run: dg.DagsterRun) -> int | None:
        """Return the pid of a run, or None before its start."""
        said = " ".join(entry.message for entry in self.instance.all_logs(run.run_id))
        pid = re.search(r"Started process for run \(pid: (\d+)\)", said)
        return int(pid[1]) if pid else None

    def kill_run(self, run: dg.DagsterRun) -> bool:
        """Kill the process of a run (SIGKILL). Return whether it was still running."""
        pid = self.pid_of(run)
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        now = self.instance.get_run_by_id(run.run_id)
        return now is not None and not now.is_finished

    def words_of(self, run_id: str) -> str:
        """Return the messages on the page of a failed run."""
        failures = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        return " ".join(entry.message for entry in failures)

    def close(self) -> None:
        """End all processes that it started."""
        for process in self._started:
            end(process, patience=10)
        self.instance.dispose()


def _session(leader: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (path / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(path.name))
    return found


@contextmanager
def dagster_on(site: Site, *, history_on_server: bool = False, retries: bool = True) -> Iterator[Dagster]:
    """Run Dagster for the duration of the block.

    Args:
        site: where its runs import.
        history_on_server: keep the history on the server of the warehouse, as compose.yaml does; else in SQLite.
        retries: start runs again that were killed, as dagster.yaml does.
    """
    dagster = Dagster(site, history_on_server=history_on_server, retries=retries)
    try:
        yield dagster
    finally:
        dagster.close()
