"""Measures one Celery worker beside two, with the services of compose.yaml: `python -m benchmarks.workers`."""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.databases import connected, empty, server_of
from dev.processes import wait_until
from dev.servers import REDIS, running
from kmdb_dagster.dagster_ext.instance import open_instance
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from testing.compose import composed
from testing.revisions import content

RUNS = 8
"""Dagster looks every two seconds whether another may start: they must take longer than that."""
PATIENCE = 900.0
VALUE = rb"\303\241b" * 100
"""As KM writes a value of 300 characters that are not English."""
LINE = b'{"_n":"%s","_p":"%d","city":"' + VALUE + b'","_t":1397577453}\n'
WANTED, ONE_IN = "signed up", 50
"""The event that the whitelist lets in, and how many lines there are for each: all are read, few are loaded."""


def make_bucket(folder: Path, revisions: int, lines: int) -> None:
    """Write a bucket with lines that take long to read."""
    (folder / "revisions").mkdir(parents=True)
    names = [b"searched berths", WANTED.encode()]
    text = b"".join(LINE % (names[number % ONE_IN == 0], number % 500) for number in range(lines))
    first = folder / "revisions" / "1.json"
    first.write_bytes(text)
    for revision in range(2, revisions + 1):
        os.link(first, folder / "revisions" / f"{revision}.json")


def import_with(workers: int, folder: Path, server: str, redis: str, revisions: int) -> tuple[float, dict[str, Any]]:
    """Return the seconds from the first start to the last end of a run, and the imported content."""
    names = [f"kmdb_benchmark_{kind}_{workers}" for kind in ("data", "history")]
    empty(server, *names)
    given = {
        "DATABASE_URL": f"{server}/{names[0]}",
        "DAGSTER_MYSQL_URL": database_url(f"{server}/{names[1]}").render_as_string(hide_password=False),
        "DAGSTER_REDIS_URL": redis,
        "KMDB_LOCAL_BUCKET": str(folder / "bucket"),
        "KMDB_REVISIONS_PER_RUN": str(revisions // RUNS),
    }
    place = folder / f"workers-{workers}"
    place.mkdir()
    with composed(place, given) as services:
        os.environ.update({name: services.environment("worker")[name] for name in ("DAGSTER_HOME", *given)})
        services.run("migrate")
        with connected(server, names[0]) as cursor:
            cursor.execute("INSERT INTO whitelisted_events (name) VALUES (%s)", (WANTED,))
        services.start("code")
        for number in range(1, workers + 1):
            services.start("worker", number)
        wait_until(lambda: services.healthy("code"), PATIENCE)
        services.start("daemon")
        with open_instance() as instance:
            if not wait_until(lambda: len(ended(instance)) == RUNS, PATIENCE):
                raise SystemExit(services.logs())
            records = ended(instance)
    warehouse = Warehouse(database_url(given["DATABASE_URL"]))
    found = content(warehouse.engine)
    warehouse.close()
    return max(run.end_time or 0 for run in records) - min(run.start_time or 0 for run in records), found


def ended(instance: dg.DagsterInstance) -> Sequence[dg.RunRecord]:
    """Return the successful runs."""
    return instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))


def main() -> None:
    """Measure one worker, then two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revisions", type=int, default=64)
    parser.add_argument("--lines", type=int, default=60_000, help="of each revision")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_bucket(folder / "bucket", options.revisions, options.lines)
        with server_of(None, folder) as server, running(REDIS, folder / "redis") as redis:
            one, alone = import_with(1, folder, server, redis.url, options.revisions)
            two, together = import_with(2, folder, server, redis.url, options.revisions)
    print(f"one worker {one:.1f} s, two workers {two:.1f} s: {one / two:.2f} times as fast")
    print("the same content" if alone == together else "ANOTHER CONTENT")


if __name__ == "__main__":
    main()
