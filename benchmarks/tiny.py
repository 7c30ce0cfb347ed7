"""Measures an import of many tiny revisions over ten years: `python -m benchmarks.tiny`."""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.databases import empty, make_bucket, prepare, server_of
from benchmarks.loading import Bench, Round
from benchmarks.loading.bare import shares
from benchmarks.loading.runs import HISTORY, environment, import_ranges, with_instance
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse

STRIDE = 44
"""Every n-th revision of the sample: 22 hours from one to the next, so that 4,000 are ten years."""
WEEKS = 537
"""As many time partitions have the tables: ten years, and some to spare."""
AT_ONCE = 2
"""Runs."""


def main() -> None:
    """Import the revisions part by part, and print what a revision of each part took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revisions", type=int, default=4000)
    parser.add_argument("--lines", type=int, default=60, help="of each revision")
    parser.add_argument("--part", type=int, default=500, help="revisions in a part, imported by two runs at once")
    parser.add_argument("--server", help="mysql://root@127.0.0.1:3306; if it is not given, a MariaDB is started")
    parser.add_argument("--history", choices=("sqlite", "mysql"), default="mysql", help="where Dagster keeps its own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        megabytes = make_bucket(folder / "bucket", options.revisions, options.lines, stride=STRIDE)
        print(f"{options.revisions} revisions, {megabytes:.0f} MB of JSON, {WEEKS} time partitions")
        with server_of(options.server, folder) as server:
            bench = Bench(server, folder, options.revisions, options.history)
            rates = [show(*taken) for taken in imported(bench, options.part)]
        print(f"the last part / the first: {rates[-1] / rates[0]:.2f}")


def imported(bench: Bench, part: int) -> Iterator[tuple[int, int, Round]]:
    """Import the revisions. Yields each part: its first and last revision, and what it took."""
    prepare(bench.server, days=7, covered=7 * WEEKS)
    empty(bench.server, HISTORY)
    warehouse = Warehouse(database_url(bench.database))
    env = environment(bench, bench.folder / "home", bench.folder / "bucket")
    with_instance(env, bench.revisions, warehouse)
    warehouse.close()
    for before in range(0, bench.revisions, part):
        many = min(part, bench.revisions - before)
        ranges = [(before + first, before + last) for first, last in shares(many, AT_ONCE)]
        yield before + 1, before + many, import_ranges(bench, env, ranges)


def show(first: int, last: int, taken: Round) -> float:
    """Print a line. Returns the revisions per second."""
    revisions = 1 + last - first
    rate = revisions / taken.seconds
    python, server = (seconds / revisions * 1000 for seconds in (taken.python, taken.server))
    print(
        f"{f'{first} to {last}':>14}: {rate:6.1f} revisions/s, Python {python:5.1f} ms, server {server:5.1f} ms",
        flush=True,
    )
    return rate


if __name__ == "__main__":
    main()
