"""What happens to Dagster's own processes: a daemon with its runs, of which some are killed again and again.

The bucket has more revisions here, and the sensor makes many runs of them. Whatever is killed is started again by
Dagster itself, or by a person who starts the daemon.
"""

import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg

from dev.processes import Process, end, spawn, tail, wait_until
from faults.compare import Difference, content, difference
from faults.export import many
from faults.imports import Import
from faults.site import Site
from kmdb_dagster.cli.ui import configure
from kmdb_dagster.defs.import_runs import UNDER_WAY
from kmdb_dagster.warehouse import ledger

ROOT = Path(__file__).parent.parent
PER_RUN = 2
PATIENCE = 300.0
"""Seconds without a revision that comes in, after which it hangs."""

MOST_KILLS = 2
"""Of one run with its repetitions: Dagster starts it again twice, as dagster.yaml says."""


class Dagster:
    """A daemon, its runs, and their history."""

    def __init__(self, site: Site) -> None:
        self._home = site.work / "dagster"
        shutil.rmtree(self._home, ignore_errors=True)
        configure(self._home)
        file = self._home / "dagster.yaml"
        # All that is not as it is shipped: minutes are long here.
        shipped = file.read_text().replace("poll_interval_seconds: 60", "poll_interval_seconds: 2")
        file.write_text(shipped.replace("start_timeout_seconds: 180", "start_timeout_seconds: 90"))
        self._settings = {
            **site.settings(),
            "KMDB_REVISIONS_PER_RUN": str(PER_RUN),
            "KMDB_RUNS_AHEAD": "100",
            "DAGSTER_HOME": str(self._home),
            # This checkout, whatever is installed.
            "PYTHONPATH": str(ROOT),
        }
        self._started: list[Process] = []
        self.log = self._home / "daemon.log"
        self.instance = dg.DagsterInstance.from_config(str(self._home))

    def start(self) -> None:
        """Start the daemon."""
        program = str(Path(sys.executable).parent / "dagster-daemon")
        command = ["env", "-C", str(self._home), program, "run", "-w", str(ROOT / "workspace.yaml")]
        self._started.append(spawn(command, self.log, {**os.environ, **self._settings}))

    def kill_daemon(self) -> None:
        """SIGKILL of the daemon alone."""
        os.kill(self._started[-1].pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """SIGKILL of the daemon, its code server and its runs, as when the machine goes down."""
        for process in self._started:
            with suppress(ProcessLookupError):
                for pid in _session(process.pid):
                    os.kill(pid, signal.SIGKILL)

    def runs(self) -> list[dg.DagsterRun]:
        """The runs that have begun and not ended."""
        return list(self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])))

    def begun(self) -> set[str]:
        """Their ids."""
        return {run.run_id for run in self.runs()}

    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self.instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY), limit=1)

    def kill_run(self, run: dg.DagsterRun) -> bool:
        """SIGKILL of the process of a run. Returns whether that was in time."""
        said = " ".join(entry.message for entry in self.instance.all_logs(run.run_id))
        pid = re.search(r"Started process for run \(pid: (\d+)\)", said)
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(int(pid[1]), signal.SIGKILL)
        now = self.instance.get_run_by_id(run.run_id)
        return now is not None and not now.is_finished

    def words_of(self, run_id: str) -> str:
        """What the page of a failed run says."""
        failures = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        return " ".join(entry.message for entry in failures)

    def close(self) -> None:
        """End everything that it started."""
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
def _dagster(site: Site) -> Iterator[Dagster]:
    dagster = Dagster(site)
    try:
        yield dagster
    finally:
        dagster.close()


Kills = Callable[[Dagster, random.Random, int], list[str]]
"""Kills something so often, and returns what the runs' pages said."""


def kill_runs(dagster: Dagster, chance: random.Random, times: int) -> list[str]:
    """Runs, each a while after it began."""
    killed: dict[str, list[str]] = {}
    deadline = time.monotonic() + PATIENCE
    while sum(map(len, killed.values())) < times and time.monotonic() < deadline:
        for run in dagster.runs():
            so_far = killed.setdefault(run.root_run_id or run.run_id, [])
            if run.run_id in so_far or len(so_far) == MOST_KILLS or sum(map(len, killed.values())) == times:
                continue
            time.sleep(chance.random() * 1.5)
            if dagster.kill_run(run):
                so_far.append(run.run_id)
        time.sleep(0.1)
    dead = [run for some in killed.values() for run in some]
    _wait(dagster, lambda: dagster.begun().isdisjoint(dead))
    return [dagster.words_of(run) for run in dead]


def kill_daemons(dagster: Dagster, chance: random.Random, times: int) -> list[str]:
    """The daemon alone; runs that are under way may go on without it."""
    return _kill_and_start(dagster, dagster.kill_daemon, chance, times)


def kill_everything(dagster: Dagster, chance: random.Random, times: int) -> list[str]:
    """All at once."""
    return _kill_and_start(dagster, dagster.kill_all, chance, times)


def _kill_and_start(dagster: Dagster, kill: Callable[[], None], chance: random.Random, times: int) -> list[str]:
    begun: set[str] = set()
    for _ in range(times):
        _wait(dagster, lambda: dagster.begun() - begun)  # noqa: B023 - called at once
        time.sleep(chance.random() * 2)
        begun |= dagster.begun()
        kill()
        dagster.start()
    return [dagster.words_of(run) for run in sorted(begun)]


KINDS: dict[str, Kills] = {
    "run of Dagster killed": kill_runs,
    "Dagster's daemon killed": kill_daemons,
    "daemon, code server and runs killed": kill_everything,
}


def play(site: Site, name: str, times: int, chance: random.Random) -> tuple[list[str], Difference]:
    """Kill so often while all is imported; compare once everything is in."""
    # Enough for as many runs as are killed, and some that are not.
    export = many(PER_RUN * (times + 2))
    site.empty()
    site.upload(export)
    undisturbed = Import(site.settings(), sorted(export)).finish()
    assert undisturbed.success, undisturbed.words
    expected = content(site.warehouse.engine)
    site.empty()
    with _dagster(site) as dagster:
        dagster.start()
        words = KINDS[name](dagster, chance, times)
        _wait_for_all(site, dagster, len(export))
    return words, difference(expected, content(site.warehouse.engine))


def _wait_for_all(site: Site, dagster: Dagster, revisions: int) -> None:
    before, since = -1, time.monotonic()
    while True:
        done = sum(status.imported for status in ledger.statuses(site.warehouse.engine).values())
        if done == revisions and dagster.idle():
            return
        if done != before:
            before, since = done, time.monotonic()
        if time.monotonic() - since > PATIENCE:
            raise TimeoutError(f"{done} of {revisions} revisions are in, and nothing moves. {tail(dagster.log)}")
        time.sleep(0.2)


def _wait(dagster: Dagster, condition: Callable[[], object]) -> None:
    if not wait_until(lambda: bool(condition()), PATIENCE):
        raise TimeoutError(f"Dagster does nothing. {tail(dagster.log)}")
