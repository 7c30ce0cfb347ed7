"""Measures the UI, the sensor and the start of runs with 100,000 revisions: `python -m benchmarks.partitions`."""

import argparse
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import MetaData, Table, insert, select, text

from benchmarks.databases import empty, server_of
from dev.processes import end, find_program, free_port, spawn, wait_until
from kmdb_dagster.dagster_ext.asset_keys import REVISION_ASSETS
from kmdb_dagster.dagster_ext.backfills import request_range
from kmdb_dagster.dagster_ext.instance import open_instance
from kmdb_dagster.dagster_ext.partition_registry import register
from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.sensors.new_revisions import new_revisions
from kmdb_dagster.pipeline.bucket_scan import list_bucket
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.schema.migrations import migrate

ROOT = Path(__file__).parent.parent
SHARE_IN = 0.6
"""Of the revisions, those that are in already."""
RUN = 50
"""Revisions of a run, as KMDB_REVISIONS_PER_RUN has it."""
BACKFILL = 1000
ROWS = 5000
PATIENCE = 300.0

STATS = """query { assetNodes { assetKey { path } partitionStats { numMaterialized numPartitions numFailed } } }"""
STATUSES = """query { assetNodeOrError(assetKey: {path: ["events"]}) { ... on AssetNode {
  assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions failedPartitions } } } } }"""
KEYS_OF = """query { assetNodeOrError(assetKey: {path: ["events"]}) { ... on AssetNode {
  partitionKeysByDimension { partitionKeys } } } }"""
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


def timed(name: str, work: Callable[[], Any], *, here: bool = False) -> None:
    """Do it twice, and print how long each took; of what is done in this process, the processor's seconds too."""
    seconds = []
    for _ in range(2):
        start, processor = time.monotonic(), time.process_time()
        work()
        seconds.append(time.monotonic() - start)
    of_it = f"{time.process_time() - processor:10.2f}" if here else ""
    print(f"  {name:58}{seconds[0]:8.2f}{seconds[1]:8.2f}{of_it}", flush=True)


# What there is: a bucket, a ledger, Dagster's history


def make_bucket(folder: Path, many: int) -> None:
    """Write this number of revisions with one line each."""
    (folder / "revisions").mkdir(parents=True)
    for number in range(1, many + 1):
        (folder / "revisions" / f"{number}.json").write_bytes(b'{"_n":"came","_p":"1","_t":1397577453}\n')


def fill_ledger(warehouse: Warehouse, kmdb: Kmdb, done: int) -> None:
    """Record the first revisions of the bucket as imported."""
    etags = list_bucket(kmdb.bucket(), None).etags
    rows = [{"revision": number, "etag": etags[number]} for number in range(1, done + 1)]
    statement = text("INSERT INTO revisions (revision, etag, imported_at) VALUES (:revision, :etag, '2014-01-01')")
    with warehouse.engine.begin() as connection:
        connection.execute(text("DELETE FROM revisions"))
        for start in range(0, done, ROWS):
            connection.execute(statement, rows[start : start + ROWS])


def fill_history(instance: dg.DagsterInstance, done: int) -> None:
    """Materialize the first revision through Dagster, and copy its events for the others: 5 ms each by Dagster."""
    for key in REVISION_ASSETS:
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition="1", metadata={"rows": 1}))
    storage: Any = instance.event_log_storage
    with storage.index_connection() as connection:
        table = _event_table(connection)
        rows = [dict(row._mapping) for row in connection.execute(select(table).where(table.c.partition == "1"))]  # noqa: SLF001 - its public name
        for row in rows:
            del row["id"]
            for start in range(2, done + 1, ROWS):
                numbers = range(start, min(start + ROWS, done + 1))
                connection.execute(insert(table), [_for_another(row, number) for number in numbers])
        connection.commit()


def _event_table(connection: Any) -> Any:
    return Table("event_logs", MetaData(), autoload_with=connection)


def _for_another(row: dict[str, Any], number: int) -> dict[str, Any]:
    event = row["event"].replace('"partition": "1"', f'"partition": "{number}"')
    return {**row, "partition": str(number), "event": event}


# The UI


class Webserver:
    """Dagster's webserver, queried as the UI does."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        """Send a query."""
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310 - ours
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - ours
            found = json.load(answer)
        if "errors" in found:
            raise SystemExit(f"GraphQL: {found['errors']}")
        return found["data"]

    def answers(self) -> bool:
        """Return whether the webserver answers."""
        try:
            return bool(self.ask("query { version }"))
        except OSError:
            return False


@contextmanager
def webserver(folder: Path) -> Iterator[Webserver]:
    """Run a webserver on this instance."""
    port = free_port()
    command = ["dagster-webserver", "-h", "127.0.0.1", "-p", str(port), "-m", "kmdb_dagster.definitions"]
    process = spawn(["env", "-C", os.environ["DAGSTER_HOME"], *command], folder / "webserver.log")
    try:
        found = Webserver(f"http://127.0.0.1:{port}")
        if not wait_until(found.answers, PATIENCE):
            raise SystemExit(f"The webserver did not start: {folder / 'webserver.log'}")
        yield found
    finally:
        end(process)


def ask(server: Webserver) -> None:
    """Measure the queries of the pages that grow with the number of partitions."""
    timed("GraphQL: how many partitions of each asset are in", lambda: server.ask(STATS))
    timed("GraphQL: which partitions of an asset are in", lambda: server.ask(STATUSES))
    timed("GraphQL: all partition keys", lambda: server.ask(KEYS_OF))


def browse(server: Webserver, done: int) -> None:
    """Measure the same pages in a browser."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where it is installed

    partitions = f"{server.url}/assets/events?view=partitions"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_program("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(PATIENCE * 1000)

        def look(path: str, until: str) -> None:
            page.goto(f"{server.url}{path}")
            page.get_by_text(until).first.wait_for()

        def choose() -> None:
            page.goto(partitions)
            page.get_by_role("button", name="Materialize").first.click()
            page.get_by_role("dialog").get_by_text("Missing").first.wait_for()

        timed("browser: an asset's page", lambda: look("/assets/events", "What people did"))
        timed("browser: its partitions", lambda: look("/assets/events?view=partitions", f"Materialized ({done})"))
        timed("browser: lineage", lambda: look("/asset-groups", "warehouse"))
        timed("browser: its partitions, and the dialog for a backfill", choose)
        browser.close()


# The sensor, a backfill, a run


def tick(instance: dg.DagsterInstance, kmdb: Kmdb, cursor: str | None) -> None:
    """Measure a tick of the sensor."""
    new_revisions(
        dg.build_sensor_context(instance=instance, cursor=cursor, resources={"kmdb": kmdb}, sensor_name="new_revisions")
    )


def launch(server: Webserver, first: int, last: int) -> None:
    """Measure the start of a run over a range, as the UI and the sensor start one."""
    selector = {
        "repositoryLocationName": "kmdb_dagster.definitions",
        "repositoryName": "__repository__",
        "jobName": "import_revisions",
    }
    tags = [{"key": RANGE_START, "value": str(first)}, {"key": RANGE_END, "value": str(last)}]
    found = server.ask(LAUNCH, {"params": {"selector": selector, "executionMetadata": {"tags": tags}}})
    if found["launchRun"]["__typename"] != "LaunchRunSuccess":
        raise SystemExit(f"The run was not launched: {found}")


def measure(folder: Path, many: int, *, with_browser: bool) -> None:
    """Measure everything, on the instance and the settings of the environment."""
    done, kmdb = int(many * SHARE_IN), Kmdb()
    with open_instance() as instance, kmdb.warehouse() as warehouse:
        start = time.monotonic()
        register(instance, warehouse, 1, many)
        print(f"  {many:,} partitions registered in {time.monotonic() - start:.1f} s; {done:,} are in")
        fill_ledger(warehouse, kmdb, done)
        fill_history(instance, done)
        print(f"  {f'load {os.getloadavg()[0]:.0f}; seconds':58}{'first':>8}{'second':>8}{'processor':>10}")
        with webserver(folder) as server:
            ask(server)
            if with_browser:
                browse(server, done)
            timed(f"a run over {RUN} revisions is launched", lambda: launch(server, done + 1, done + RUN))
        timed(
            f"`import_range` asks for {BACKFILL:,} revisions",
            lambda: request_range(instance, kmdb, done + 1, done + BACKFILL),
            here=True,
        )
        for backfill in instance.get_backfills():
            status = type(backfill.status).CANCELED  # the sensor waits for those that go on
            instance.update_backfill(backfill.with_status(status))  # type: ignore[no-untyped-call]  # Dagster's
        timed("the sensor's tick that lists the bucket", lambda: tick(instance, kmdb, None), here=True)
        recent = json.dumps({"listed_at": int(time.time()), "moved_at": int(time.time())})
        timed("the sensor's tick that looks ahead", lambda: tick(instance, kmdb, recent), here=True)


def main() -> None:
    """Measure both kinds of history, one after another, on a private MariaDB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=100_000)
    parser.add_argument("--no-browser", action="store_true", help="without chromium (dev/test --browser installs it)")
    parser.add_argument("--history", choices=("sqlite", "mysql"), action="append", help="only this one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, server_of(None, Path(name)) as server:
        folder = Path(name)
        make_bucket(folder / "bucket", options.partitions)
        for history in options.history or ["sqlite", "mysql"]:
            print(f"{options.partitions:,} partitions, Dagster's history in {history}")
            prepare(folder, server, history)
            measure(folder, options.partitions, with_browser=not options.no_browser)


def prepare(folder: Path, server: str, history: str) -> None:
    """Create an empty warehouse and history, and set this process's environment."""
    home = folder / history
    home.mkdir()
    source = ROOT / ("deploy/mysql/dagster.yaml" if history == "mysql" else "dagster.yaml")
    (home / "dagster.yaml").write_text(source.read_text().replace("var/dagster", str(home)))
    empty(server, "kmdb_benchmark_warehouse", "kmdb_benchmark_history")
    os.environ |= {
        "DAGSTER_HOME": str(home),
        "DAGSTER_MYSQL_URL": database_url(f"{server}/kmdb_benchmark_history").render_as_string(hide_password=False),
        "DATABASE_URL": f"{server}/kmdb_benchmark_warehouse",
        "KMDB_LOCAL_BUCKET": str(folder / "bucket"),
        "KMDB_DATA_DIR": str(home / "lake"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    warehouse = Warehouse(database_url(os.environ["DATABASE_URL"]))
    migrate(warehouse.engine)
    warehouse.close()


if __name__ == "__main__":
    main()
