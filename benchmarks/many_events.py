"""Each question on 100 million events, in a process of its own: `python -m benchmarks.many_events`.

Prints how long it took and how much memory the process held. MariaDB and DuckDB need 30 GB of disk for it.
"""

import argparse
import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

from benchmarks.databases import NAME, OPTIONS, empty, server_of
from benchmarks.journeys import DAYS, START, event_rows, load, made, name_keys, property_rows
from benchmarks.questions import CASES
from kmdb_dagster import Event, connect
from kmdb_dagster.questions.grammar import parse
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.server import autocommit
from kmdb_dagster.warehouse.maintenance import indexes
from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all
from kmdb_dagster.warehouse.schema.migrations import migrate

AT_ONCE = 5_000_000
"""Events that are made and loaded together."""


def main() -> None:
    """Fill the tables, and measure each question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, server_of(None, Path(name), OPTIONS) as server:
        empty(server, NAME)
        url = f"{server}/{NAME}?local_infile=1"
        start = time.monotonic()
        events = fill(url, options.events, Path(name))
        print(f"{events:,} events in {DAYS} days, filled in {time.monotonic() - start:,.0f} s")
        print(f"{'':36}{'seconds':>9}{'peak MB':>9}")
        questions = [(title, partial(ask, url, case.line)) for title, case in CASES.items()]
        for title, work in [*questions, *((title, partial(read, url, title)) for title in READINGS)]:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
                seconds, peak = alone.submit(measured, work).result()
            print(f"{title:36}{seconds:9.1f}{peak:9.0f}", flush=True)


def fill(url: str, events: int, folder: Path) -> int:
    """Fill our tables, then build the indexes. Return the number of events."""
    warehouse = Warehouse(database_url(url))
    migrate(warehouse.engine)
    until = START + timedelta(DAYS)
    apply_plans(warehouse.engine, plan_all(warehouse.engine, min_date=START, max_date=until, days=7, today=until))
    indexes.drop(warehouse.engine)
    total = people = 0
    with autocommit(warehouse.engine) as connection:
        name_keys(connection)
        for seed in range(-(-events // AT_ONCE)):
            journeys = made(min(AT_ONCE, events), seed)
            others = journeys._replace(person=journeys.person + people, before=total)
            load(connection, "events", event_rows(others, kmdb=False), folder)
            load(connection, "properties", property_rows(others, kmdb=False, urls=False), folder)
            total, people = total + len(others.person), int(others.person.max())
        indexes.build(warehouse.engine)
        connection.exec_driver_sql("ANALYZE TABLE events, properties")
    warehouse.close()
    return total


READINGS: dict[str, Callable[[], int]] = {
    "the visits, one after another": lambda: sum(1 for _ in Event.named("visited site")),
    "the visits as Arrow, in batches": lambda: sum(map(len, Event.named("visited site").arrow_batches())),
    "the visits as a Polars frame": lambda: Event.named("visited site").to_polars().height,
}
"""By the model classes: one event in twenty."""


def ask(url: str, line: str) -> None:
    """Measure a question."""
    warehouse = Warehouse(database_url(url))
    parse(f"{line} --since {START} --until {START + timedelta(DAYS)}").ask(warehouse.engine)
    warehouse.close()


def read(url: str, title: str) -> None:
    """Measure a read."""
    with connect(url):
        READINGS[title]()


def measured(work: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds, and the peak memory of this process in megabytes."""
    start = time.monotonic()
    work()
    seconds = time.monotonic() - start
    held = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    return seconds, int(held[1]) / 1000 if held else 0


if __name__ == "__main__":
    main()
