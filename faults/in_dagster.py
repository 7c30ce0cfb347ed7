"""Faults of Dagster's own processes: a daemon with its runs, some of them killed again and again.

The bucket has more revisions here, and the sensor makes many runs of them. Whatever is killed is started again by
Dagster itself, or by a person who starts the daemon.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from dev.processes import tail, wait_until
from faults.compare import Difference, content, difference
from faults.daemon import PER_RUN, Dagster, dagster_on
from faults.export import many
from faults.imports import Import
from faults.site import Site
from kmdb_dagster.dagster_ext.run_ranges import range_of
from kmdb_dagster.warehouse.ledger import ledger

PATIENCE = 300.0
"""Seconds without a revision that comes in, after which it hangs."""

MOST_KILLS = 2
"""Of one run with its repetitions: Dagster starts it again twice, as dagster.yaml says."""


HISTORY_AWAY_SECONDS = 14.0

Kills = Callable[[Site, Dagster, random.Random, int], list[str]]
"""Kills something so often, and returns the ids of the runs that met it."""


class Kind(NamedTuple):
    """A kind of fault: what is killed, and Dagster's configuration."""

    kill: Kills
    history_on_server: bool = False
    retries: bool = True


def kill_runs(_: Site, dagster: Dagster, chance: random.Random, times: int) -> list[str]:
    """Kill runs, each some time after its start."""
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
    return dead


def kill_daemons(_: Site, dagster: Dagster, chance: random.Random, times: int) -> list[str]:
    """Kill the daemon alone. Active runs may continue without it."""
    return _kill_and_start(dagster, dagster.kill_daemon, chance, times)


def kill_everything(_: Site, dagster: Dagster, chance: random.Random, times: int) -> list[str]:
    """Kill the daemon, the code server and all runs at once."""
    return _kill_and_start(dagster, dagster.kill_all, chance, times)


def _kill_and_start(dagster: Dagster, kill: Callable[[], None], chance: random.Random, times: int) -> list[str]:
    begun: set[str] = set()
    for _ in range(times):
        _wait(dagster, lambda: dagster.begun() - begun)  # noqa: B023 - called at once
        time.sleep(chance.random() * 2)
        begun |= dagster.begun()
        kill()
        dagster.start()
    return sorted(begun)


def restart_server(site: Site, dagster: Dagster, chance: random.Random, times: int) -> list[str]:
    """Restart the server of the warehouse and the history after a while."""
    begun: set[str] = set()
    for _ in range(times):
        _wait(dagster, lambda: dagster.begun() - begun)  # noqa: B023 - called at once
        time.sleep(chance.random() * 1.5)
        begun |= dagster.begun()
        site.database.kill()
        time.sleep(HISTORY_AWAY_SECONDS)
        site.database.start()
    return sorted(begun)


def kill_before_recording(site: Site, dagster: Dagster, chance: random.Random, times: int) -> list[str]:
    """Kill runs between a commit of facts and the record of their materialization."""
    del chance
    killed: list[str] = []
    deadline = time.monotonic() + PATIENCE
    pids: dict[str, int] = {}
    while len(killed) < times and time.monotonic() < deadline:
        pids = {run.run_id: pids.get(run.run_id) or dagster.pid_of(run) or 0 for run in dagster.runs()}
        for _ in range(50):
            if _loaded(site) - dagster.recorded():
                killed += [run for run, pid in pids.items() if pid and _kill_unrecorded(site, dagster, run, pid)]
                break
    return killed


def _kill_unrecorded(site: Site, dagster: Dagster, run_id: str, pid: int) -> bool:
    """Stop a run, and kill it if it has loaded a revision that is not recorded."""
    run = dagster.instance.get_run_by_id(run_id)
    span = range_of(run) if run else None
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        mine = set(range(span[0], span[1] + 1)) if span else set()
        is_between = bool(mine & (_loaded(site) - dagster.recorded()))
        os.kill(pid, signal.SIGKILL if is_between else signal.SIGCONT)
        return is_between
    return False


KINDS: dict[str, Kind] = {
    "run of Dagster killed": Kind(kill_runs),
    "run killed between commit and materialization": Kind(kill_before_recording, retries=False),
    "server with warehouse and history away for 14 s": Kind(restart_server, history_on_server=True),
    "Dagster's daemon killed": Kind(kill_daemons),
    "daemon, code server and runs killed": Kind(kill_everything),
}


def play(site: Site, name: str, times: int, chance: random.Random) -> tuple[list[str], Difference]:
    """Kill the given number of times during the import, and compare the tables at the end.

    Returns:
        What the page of each run that met it says of its failure, empty for a run that ended well; and the difference.
    """
    # Enough revisions for all killed runs, and for some others.
    export = many(PER_RUN * (times + 2))
    site.empty()
    site.upload(export)
    undisturbed = Import(site.settings(), sorted(export)).finish()
    assert undisturbed.success, undisturbed.words
    expected = content(site.warehouse.engine)
    site.empty()
    kind = KINDS[name]
    with dagster_on(site, history_on_server=kind.history_on_server, retries=kind.retries) as dagster:
        dagster.start()
        runs = kind.kill(site, dagster, chance, times)
        _wait_for_all(site, dagster, len(export))
        words = [dagster.words_of(run) for run in runs]
    return words, difference(expected, content(site.warehouse.engine))


def _loaded(site: Site) -> set[int]:
    return {number for number, status in ledger.statuses(site.warehouse.engine).items() if status.imported}


def _wait_for_all(site: Site, dagster: Dagster, revisions: int) -> None:
    """Wait until all revisions are loaded and recorded in Dagster, and no run is active."""
    before, since = (-1, -1), time.monotonic()
    while True:
        done = len(_loaded(site)), len(dagster.recorded())
        if done == (revisions, revisions) and dagster.idle():
            return
        if done != before:
            before, since = done, time.monotonic()
        if time.monotonic() - since > PATIENCE:
            loaded, recorded = done
            raise TimeoutError(
                f"{loaded} of {revisions} revisions are loaded, {recorded} recorded in Dagster; under way: "
                f"{len(dagster.runs())} runs; and nothing moves. {tail(dagster.log, 5)}"
            )
        time.sleep(0.2)


def _wait(dagster: Dagster, condition: Callable[[], object]) -> None:
    if not wait_until(lambda: bool(condition()), PATIENCE):
        raise TimeoutError(f"Dagster does nothing. {tail(dagster.log, 5)}")
