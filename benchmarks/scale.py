"""An import whose data outgrows the server's memory, with time partitions and without: `python -m benchmarks.scale`."""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.databases import NAME, connected, make_bucket, prepare, server_of
from kmdb_dagster.lake import Lake
from kmdb_dagster.pipeline import Pipeline
from kmdb_dagster.settings import database_url
from kmdb_dagster.source import FolderBucket
from kmdb_dagster.warehouse import Warehouse
from testing.steps import fetch, load, parse, resolve

STRIDE = 24
"""Every so manieth revision of the sample: half a day from one to the next, so that each day has its partition."""


WATCHED = ("--performance-schema=ON", "--performance-schema-max-file-instances=10000")


class Taken(NamedTuple):
    """The cost of a revision: seconds, and the pages of each table that the server read from disk."""

    seconds: float
    pages: Counter[str]


def main() -> None:
    """Import the sample twice into a server with little memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revisions", type=int, default=100)
    parser.add_argument("--lines", type=int, default=6000, help="of each revision")
    parser.add_argument("--memory", type=int, default=24, help="MB of the server's buffer pool")
    options = parser.parse_args()
    for days in (1, 0):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            megabytes = make_bucket(folder / "bucket", options.revisions, options.lines, stride=STRIDE)
            memory = (f"--innodb-buffer-pool-size={options.memory}M", "--innodb-log-file-size=1G", *WATCHED)
            with server_of(None, folder, memory) as server:
                prepare(server, days=days, covered=options.revisions // 2 + 5)
                taken = list(imported(server, folder, options.revisions))
                show(f"{days or 'no'} day(s) in a partition", taken, megabytes, size_of(server) / options.memory)


def imported(server: str, folder: Path, revisions: int) -> Iterator[Taken]:
    """Import the revisions one after another, without Dagster."""
    lake = Lake(folder / "lake")
    lake.prepare()
    warehouse = Warehouse(database_url(f"{server}/{NAME}"))
    bucket = FolderBucket(folder / "bucket")
    pipeline = Pipeline(
        bucket, lake, warehouse, batch_size=5000, keep_files=False, max_rejected_share=0.5, numeric_apart=False
    )
    for number in range(1, 1 + revisions):
        pages, start = pages_read(server), time.monotonic()
        for step in (fetch, parse, resolve, load):
            step(pipeline, number)
        yield Taken(time.monotonic() - start, pages_read(server) - pages)
    warehouse.close()


def pages_read(server: str) -> Counter[str]:
    """Return the number of pages of each table that the server has read from disk."""
    pages: Counter[str] = Counter()
    with connected(server) as cursor:
        cursor.execute(
            "SELECT FILE_NAME, COUNT_READ FROM performance_schema.file_summary_by_instance WHERE FILE_NAME LIKE %s",
            (f"%/{NAME}/%.ibd",),
        )
        for file, count in cursor.fetchall():
            # A partition's file is table#P#partition.ibd.
            pages[Path(file).stem.split("#")[0]] += count
    return pages


def size_of(server: str) -> float:
    """Return the megabytes of all tables and indexes."""
    with connected(server) as cursor:
        cursor.execute(
            "SELECT SUM(ALLOCATED_SIZE) / 1e6 FROM INFORMATION_SCHEMA.INNODB_SYS_TABLESPACES WHERE NAME LIKE %s",
            (f"{NAME}/%",),
        )
        return float(cursor.fetchone()[0])


def show(name: str, taken: list[Taken], megabytes: float, times: float) -> None:
    """Print the first and the last tenth."""
    tenth = len(taken) // 10
    rates = []
    print(f"{name}: the tables are {times:.0f} times as large as the server's memory")
    for words, part in (("first", taken[:tenth]), ("last", taken[-tenth:])):
        rates.append(megabytes / len(taken) * tenth / sum(each.seconds for each in part))
        pages = sum((each.pages for each in part), Counter())
        print(f"  {words} tenth: {rates[-1]:.2f} MB of JSON/s, {pages.total() / tenth:,.0f} pages read for a revision")
        print("    " + ", ".join(f"{table} {count / tenth:,.0f}" for table, count in pages.most_common(6)))
    print(f"  last / first: {rates[1] / rates[0]:.2f}", flush=True)


if __name__ == "__main__":
    main()
