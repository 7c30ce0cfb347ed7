"""Measures how soon scattered changed revisions are imported, and a new one meanwhile: `python -m benchmarks.changes`.

With a real daemon and its sensor, on a bucket of tiny revisions that are all imported.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from benchmarks.databases import pid_of, processor, processor_of_tree, server_of
from benchmarks.partitions import prepare
from dev.processes import Process, wait_until
from kmdb_dagster.dagster_ext.instance import open_instance
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.pipeline.bucket_scan import changed, list_bucket
from kmdb_dagster.sample import sample_revision
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from testing.daemons import ROOT, running_daemon

LINES = 60
PATIENCE_SECONDS = 3600.0
SECONDS_BEFORE_A_NEW_REVISION = 30.0


def put(bucket: Path, revision: int, lines: int = LINES) -> None:
    """Write a revision into the bucket."""
    (bucket / "revisions" / f"{revision}.json").write_bytes(sample_revision(revision, lines=lines))


def left(warehouse: Warehouse) -> int:
    """Count the revisions of the bucket that are not imported as they are there now."""
    etags, statuses = list_bucket(Kmdb().bucket(), None).etags, ledger.statuses(warehouse.engine)
    return len(changed(etags, statuses)) + len(etags.keys() - statuses.keys())


def seconds_until(condition: Callable[[], bool]) -> float:
    """Look at a condition every two seconds until it is true, and return how long it took."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > PATIENCE_SECONDS:
            raise SystemExit(f"It took longer than {PATIENCE_SECONDS:.0f} seconds.")
        time.sleep(2)
    return time.monotonic() - start


def runs(instance: dg.DagsterInstance) -> int:
    """Count the import runs so far."""
    return int(instance.get_runs_count(dg.RunsFilter(tags={"kmdb/import": "true"})))


def scan_bucket() -> None:
    """Launch the job, as an operator does."""
    command = [str(Path(sys.executable).parent / "dagster"), "job", "launch", "-w", str(ROOT / "workspace.yaml")]
    subprocess.run([*command, "-j", "scan_bucket"], check=True, capture_output=True)  # noqa: S603 - our own command


class Processor:
    """The processor seconds of Dagster's daemon with its runs, and of the server, since the last look."""

    def __init__(self, daemon: Process, server: str) -> None:
        self._pids = (daemon.pid, pid_of(server))
        self._before = self._look()

    def _look(self) -> tuple[float, float]:
        return processor_of_tree(self._pids[0]), processor(self._pids[1])

    def __str__(self) -> str:
        """Return both as text."""
        before, self._before = self._before, self._look()
        daemon, server = (now - then for now, then in zip(self._before, before, strict=True))
        return f"processor: Dagster {daemon:.0f} s, server {server:.0f} s"


def measure(bucket: Path, revisions: int, changes: int, used: Processor) -> None:
    """Measure on the instance and the settings of the environment, with a daemon that runs."""
    with Kmdb().warehouse() as warehouse, open_instance() as instance:
        took = seconds_until(lambda: left(warehouse) == 0)
        print(f"  {revisions:,} new revisions: {took:.0f} s in {runs(instance)} runs; {used}", flush=True)
        before = runs(instance)
        for number in random.Random(1).sample(range(1, revisions + 1), changes):  # noqa: S311 - a seed, no secret
            put(bucket, number, LINES + 1)
        start = time.monotonic()
        scan_bucket()
        wait_until(lambda: time.monotonic() - start > SECONDS_BEFORE_A_NEW_REVISION, PATIENCE_SECONDS)
        put(bucket, revisions + 1)
        soon = seconds_until(lambda: revisions + 1 in ledger.statuses(warehouse.engine))
        print(f"  a new one, while changed ones are imported: {soon:.0f} s, with {left(warehouse):,} left", flush=True)
        seconds_until(lambda: left(warehouse) == 0)
        took = time.monotonic() - start
        print(f"  {changes:,} changed ones: {took:.0f} s in {runs(instance) - before - 1} runs; {used}", flush=True)


def main() -> None:
    """Measure on a private MariaDB, with Dagster's history in SQLite or on the same server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revisions", type=int, default=4000)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--history", choices=("sqlite", "mysql"), default="mysql")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, server_of(None, Path(name)) as server:
        folder = Path(name)
        (folder / "bucket" / "revisions").mkdir(parents=True)
        for number in range(1, options.revisions + 1):
            put(folder / "bucket", number)
        prepare(folder, server, options.history)
        print(f"{options.revisions:,} revisions of {LINES} lines, load {os.getloadavg()[0]:.1f} at the start")
        with running_daemon(folder / "daemon.log") as daemon:
            measure(folder / "bucket", options.revisions, options.changes, Processor(daemon, server))
        print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
