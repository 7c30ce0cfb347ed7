"""Measures the purge of Dagster's history after very many runs: `python -m benchmarks.history`.

Dagster imports one revision. The rows of this run are copied for the others, since Dagster would take seconds for each.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import Connection, MetaData, Table, func, insert, select

from benchmarks.databases import pid_of, processor, server_of
from benchmarks.partitions import make_bucket, prepare
from kmdb_dagster.dagster_ext.asset_keys import REVISION_ASSETS
from kmdb_dagster.dagster_ext.history_purge import purge_history
from kmdb_dagster.dagster_ext.instance import open_instance
from kmdb_dagster.dagster_ext.partition_registry import PARTITIONS_NAME
from kmdb_dagster.defs.resources import Kmdb
from testing.runs import import_range

RUNS_PER_STATEMENT = 100
REPEATED = 0.25
"""The share of runs that import a revision again, so that its earlier materialization is purged."""


def fill(instance: dg.DagsterInstance, run: dg.DagsterRun, number: int) -> None:
    """Copy a run over revision 1 until there are ``number`` runs, over three quarters as many revisions."""
    revisions = int(number * (1 - REPEATED))
    instance.add_dynamic_partitions(PARTITIONS_NAME, [str(revision) for revision in range(2, revisions + 1)])
    events: Any = instance.event_log_storage
    runs: Any = instance.run_storage
    for connect, tables in (
        (runs.connect, ("runs", "run_tags")),
        (events.index_connection, ("event_logs", "asset_check_executions")),
    ):
        for name in tables:
            with connect() as connection:
                table = Table(name, MetaData(), autoload_with=connection)
                found = connection.execute(select(table).where(table.c.run_id == run.run_id)).mappings()
                rows = [{key: value for key, value in row.items() if key != "id"} for row in found]
            for start in range(2, number + 1, RUNS_PER_STATEMENT):
                numbers = range(start, min(start + RUNS_PER_STATEMENT, number + 1))
                with connect() as connection:
                    connection.execute(
                        insert(table), [_copy(row, run.run_id, one, revisions) for one in numbers for row in rows]
                    )


def _copy(row: dict[str, Any], run_id: str, number: int, revisions: int) -> dict[str, Any]:
    """Return the row of another run: of its id, and over its revision."""
    revision = (number - 1) % revisions + 1
    copy = {
        key: value.replace(run_id, _run_id(number)) if isinstance(value, str) else value for key, value in row.items()
    }
    if "event" in copy and copy["partition"]:
        copy["event"] = copy["event"].replace('"partition": "1"', f'"partition": "{revision}"')
        copy["partition"] = str(revision)
    return copy


def _run_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def count_rows(instance: dg.DagsterInstance) -> Iterator[tuple[str, int]]:
    """Count the rows of the large tables of the history."""
    events: Any = instance.event_log_storage
    runs: Any = instance.run_storage
    for connect, names in ((runs.connect, ("runs", "run_tags")), (events.index_connection, ("event_logs",))):
        with connect() as connection:
            yield from ((name, _count(connection, name)) for name in names)


def _count(connection: Connection, name: str) -> int:
    table = Table(name, MetaData(), autoload_with=connection)
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def seen_in_ui(instance: dg.DagsterInstance) -> list[object]:
    """Return what the UI shows of the assets of a revision: the partitions, and the latest materialization."""
    found: list[object] = []
    for key in REVISION_ASSETS:
        latest = instance.get_latest_materialization_event(key)
        found += [instance.get_materialized_partitions(key), latest and (latest.run_id, latest.timestamp)]
    return found


def timed(work: Callable[[], object], server: int) -> str:
    """Do it, and return the seconds that it took."""
    start, python, busy = time.monotonic(), time.process_time(), processor(server)
    work()
    return (
        f"{time.monotonic() - start:.1f} s (processor: Python {time.process_time() - python:.1f}, "
        f"server {processor(server) - busy:.1f})"
    )


def measure(server: str, number: int) -> None:
    """Measure on the instance and the settings of the environment."""
    kmdb, pid = Kmdb(), pid_of(server)
    with open_instance() as instance:
        run = import_range(instance, kmdb, 1, 1).dagster_run
        print(f"  {number:,} runs made in {timed(lambda: fill(instance, run, number), pid)}", flush=True)
        print(f"  rows: {dict(count_rows(instance))}", flush=True)
        before, later = seen_in_ui(instance), datetime.now(UTC) + timedelta(days=1)
        for dry_run in (True, False):
            purge = partial(purge_history, instance, later, dry_run=dry_run, report=lambda *_: None)
            print(f"  {'dry run' if dry_run else 'purge'}: {timed(purge, pid)}", flush=True)
        print(f"  rows: {dict(count_rows(instance))}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  the UI shows the same: {seen_in_ui(instance) == before}; peak memory {peak:,.0f} MB", flush=True)


def main() -> None:
    """Measure both kinds of history, one after another, on a private MariaDB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--history", choices=("sqlite", "mysql"), action="append", help="only this one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, server_of(None, Path(name)) as server:
        make_bucket(Path(name) / "bucket", 1)
        for history in options.history or ["sqlite", "mysql"]:
            print(f"{options.runs:,} runs in {history}, load {os.getloadavg()[0]:.0f}")
            prepare(Path(name), server, history)
            measure(server, options.runs)


if __name__ == "__main__":
    main()
