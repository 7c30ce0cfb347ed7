"""Measures the import, end to end, beside a bare LOAD DATA of the same rows: `python -m benchmarks.loading`."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import dagster as dg
import MySQLdb
import pyarrow as pa
from sqlalchemy import create_engine

from dev.servers import MARIADB, running
from kmdb_dagster.defs.import_runs import RANGE_END, RANGE_START
from kmdb_dagster.defs.revisions import register
from kmdb_dagster.export.sample import sample_revision
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.infile import as_text
from kmdb_dagster.warehouse.migrations import migrate
from kmdb_dagster.warehouse.models import row_id
from kmdb_dagster.warehouse.partitions import apply_plans, plan_all

ROOT = Path(__file__).parent.parent
NAME = "kmdb_benchmark"
HISTORY = "kmdb_benchmark_history"
TABLES = {
    "events": ("id", "t", "n", "user_id", "identity_id"),
    "properties": ("id", "t", "key", "value", "user_id", "event_id", "identity_id"),
}

OPTIONS = (
    # What docs/operations.md recommends.
    "--innodb-buffer-pool-size=2G",
    "--innodb-log-file-size=2G",
    "--max-allowed-packet=64M",
)

CLOCK = os.sysconf("SC_CLK_TCK")


class Round(NamedTuple):
    """What one round took. Processor seconds: of the import's processes, and of the server."""

    seconds: float
    python: float
    server: float
    peak: int


class Bench(NamedTuple):
    """All that a round needs."""

    server: str
    folder: Path
    revisions: int
    history: str

    @property
    def database(self) -> str:
        """Where to import."""
        return f"{self.server}/{NAME}"


def prepare(bench: Bench) -> None:
    """An empty warehouse with weekly partitions, and an empty history of Dagster's."""
    with connected(bench.server) as cursor:
        for name in (NAME, HISTORY):
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")
            cursor.execute(f"CREATE DATABASE {name}")
    warehouse = Warehouse(database_url(bench.database))
    migrate(warehouse.engine)
    apply_plans(
        warehouse.engine,
        plan_all(
            warehouse.engine,
            min_date=date(2013, 12, 30),
            max_date=date(2014, 12, 29),
            days=7,
            today=datetime.now(UTC).date(),
        ),
    )
    warehouse.close()


@contextmanager
def connected(server: str, database: str = "mysql") -> Iterator[Any]:
    """A cursor of a bare connection."""
    url = database_url(f"{server}/{database}")
    connection = MySQLdb.connect(
        host=url.host, port=url.port or 3306, user=url.username, db=database, charset="utf8mb4", local_infile=1
    )
    yield connection.cursor()
    connection.commit()
    connection.close()


def processor(pid: int) -> float:
    """Seconds that a process has had of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK


def pid_of(server: str) -> int:
    """The server's process."""
    with connected(server) as cursor:
        cursor.execute("SELECT @@pid_file, @@datadir")
        pid_file, folder = cursor.fetchone()
    return int((Path(folder) / pid_file).read_text("ascii"))


def shares(last: int, many: int) -> list[tuple[int, int]]:
    """The revisions as so many ranges."""
    bounds = [last * part // many for part in range(many + 1)]
    return [(low + 1, high) for low, high in pairwise(bounds)]


# (a) bare LOAD DATA


def dump(bench: Bench) -> int:
    """Write what is in as ready-made text, a file for each revision and table. Returns the number of rows."""
    engine = create_engine(database_url(bench.database))
    total = 0
    with engine.connect() as connection:
        for revision in range(1, bench.revisions + 1):
            for table, columns in TABLES.items():
                names = ", ".join(f"`{name}`" for name in columns)
                where = f"id BETWEEN {row_id(revision, 0)} AND {row_id(revision + 1, 0) - 1}"
                found = connection.exec_driver_sql(f"SELECT {names} FROM {table} WHERE {where} ORDER BY id")
                rows = found.mappings().all()
                text = as_text(pa.Table.from_pylist([dict(row) for row in rows])) if rows else b""
                (bench.folder / f"{revision}.{table}").write_bytes(text)
                total += len(rows)
    engine.dispose()
    return total


def load_bare(bench: Bench, first: int, last: int) -> None:
    """LOAD DATA, one connection, a transaction for each revision."""
    with connected(bench.server, NAME) as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        for revision in range(first, last + 1):
            for table, columns in TABLES.items():
                names = ", ".join(f"`{name}`" for name in columns)
                path = bench.folder / f"{revision}.{table}"
                cursor.execute(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} CHARACTER SET utf8mb4 ({names})")
            cursor.connection.commit()


def bare(bench: Bench, connections: int) -> Round:
    """A round of it."""
    prepare(bench)
    pid = pid_of(bench.server)
    before, start = processor(pid), time.monotonic()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(lambda part: load_bare(bench, *part), shares(bench.revisions, connections)))
    return Round(time.monotonic() - start, 0, processor(pid) - before, 0)


# (b) the import


def environment(bench: Bench, home: Path, bucket: Path) -> dict[str, str]:
    """What the import's processes get."""
    source = ROOT / ("deploy/mysql/dagster.yaml" if bench.history == "mysql" else "dagster.yaml")
    home.mkdir()
    (home / "dagster.yaml").write_text(source.read_text("utf-8"), "utf-8")
    return {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "DAGSTER_MYSQL_URL": f"{database_url(f'{bench.server}/{HISTORY}').render_as_string(hide_password=False)}",
        "DATABASE_URL": bench.database,
        "KMDB_LOCAL_BUCKET": str(bucket),
        "KMDB_DATA_DIR": str(home / "lake"),
    }


def start_run(env: dict[str, str], first: int, last: int) -> subprocess.Popen[bytes]:
    """A run over a range, in a process of its own, as Dagster's launcher starts one."""
    tags = json.dumps({RANGE_START: str(first), RANGE_END: str(last)})
    job = ["-m", "kmdb_dagster.definitions", "-j", "import_revisions", "--tags", tags]
    command = [sys.executable, "-m", "dagster", "job", "execute", *job]
    with (Path(env["DAGSTER_HOME"]) / f"log-{first}").open("wb") as log:
        return subprocess.Popen(command, env=env, cwd=env["DAGSTER_HOME"], stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - ours


def import_through_dagster(bench: Bench, runs: int, *, bucket: Path | None = None, last: int = 0) -> Round:
    """A round of it, from the start of the processes to the end of the last one."""
    prepare(bench)
    last = last or bench.revisions
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        home = Path(folder) / "home"
        env = environment(bench, home, bucket or bench.folder / "bucket")
        with_instance(env, last, bench)
        pid = pid_of(bench.server)
        before, start = processor(pid), time.monotonic()
        usages = [finished(run, home) for run in [start_run(env, *part) for part in shares(last, runs)]]
        return Round(
            time.monotonic() - start,
            sum(usage.ru_utime + usage.ru_stime for usage, _ in usages),
            processor(pid) - before,
            max(peak for _, peak in usages),
        )


def finished(run: subprocess.Popen[bytes], home: Path) -> tuple[Any, int]:
    """Wait for a run, and see that it went well. Returns what it used, and the most memory that it held."""
    peak = 0
    while (ended := os.wait4(run.pid, os.WNOHANG))[0] == 0:
        # The usage would count what the process that started this one held at that moment.
        held = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{run.pid}/status").read_text("ascii"))
        peak = max(peak, int(held[1]) * 1024 if held else 0)
        time.sleep(0.05)
    _, status, usage = ended
    if status:
        logs = "\n".join(log.read_text("utf-8", errors="replace")[-3000:] for log in home.glob("log-*"))
        raise SystemExit(f"A run failed:\n{logs}")
    return usage, peak


def with_instance(env: dict[str, str], last: int, bench: Bench) -> None:
    """Make the history's tables, and partitions of the revisions."""
    os.environ.update({name: env[name] for name in ("DAGSTER_HOME", "DAGSTER_MYSQL_URL")})
    os.chdir(env["DAGSTER_HOME"])
    warehouse = Warehouse(database_url(bench.database))
    with dg.DagsterInstance.get() as instance:
        register(instance, warehouse, 1, last)
    warehouse.close()
    os.chdir(ROOT)


def overhead(bench: Bench, many: int = 60) -> tuple[float, float]:
    """Seconds of a run, and of a revision in it, that is not there: what Dagster and our bookkeeping cost."""
    empty = bench.folder / "empty"
    (empty / "revisions").mkdir(parents=True, exist_ok=True)
    one = import_through_dagster(bench, 1, bucket=empty, last=1).seconds
    more = import_through_dagster(bench, 1, bucket=empty, last=many + 1).seconds
    return one, (more - one) / many


# Printing


def show(name: str, rounds: Sequence[Round], rows: int, megabytes: float) -> None:
    """A line of the table: medians."""
    seconds = median(taken.seconds for taken in rounds)
    cells = (
        f"{name:26}{seconds:8.1f}{rows / seconds:11,.0f}{megabytes / seconds:8.2f}"
        f"{median(taken.python for taken in rounds):9.1f}{median(taken.server for taken in rounds):9.1f}"
    )
    print(cells + f"{max(taken.peak for taken in rounds) / 1e6:9.0f}", flush=True)


def compare(bench: Bench, rounds: int, megabytes: float) -> None:
    """Let the two take turns, with one and two at a time, and print what each costs."""
    import_through_dagster(bench, 2)
    rows = dump(bench)
    print(f"{bench.revisions} revisions, {megabytes:.0f} MB of JSON, {rows:,} rows, {rounds} rounds, medians")
    print(f"{'':26}{'seconds':>8}{'rows/s':>11}{'MB/s':>8}{'Python s':>9}{'server s':>9}{'peak MB':>9}")
    for many in (1, 2):
        a, b = [], []
        for _ in range(rounds):
            a.append(bare(bench, many))
            b.append(import_through_dagster(bench, many))
        show(f"bare, {many} connection(s)", a, rows, megabytes)
        show(f"import, {many} run(s)", b, rows, megabytes)
        ratios = [theirs.seconds / ours.seconds for ours, theirs in zip(a, b, strict=True)]
        print(
            f"{'import / bare':26}{median(ratios):8.2f}   ({', '.join(f'{ratio:.2f}' for ratio in ratios)})", flush=True
        )


def make_bucket(folder: Path, revisions: int, lines: int) -> float:
    """The sample, in a folder. Returns its megabytes."""
    (folder / "revisions").mkdir(parents=True)
    sizes = [
        (folder / "revisions" / f"{number}.json").write_bytes(sample_revision(number, lines=lines))
        for number in range(1, revisions + 1)
    ]
    return sum(sizes) / 1e6


def main() -> None:
    """Make the sample, start a server unless one is given, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revisions", type=int, default=120)
    parser.add_argument("--lines", type=int, default=6000, help="of each revision")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", help="mysql://root@127.0.0.1:3306; if it is not given, a MariaDB is started")
    parser.add_argument("--history", choices=("sqlite", "mysql"), default="mysql", help="where Dagster keeps its own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        megabytes = make_bucket(folder / "bucket", options.revisions, options.lines)
        with server_of(options.server, folder) as server:
            bench = Bench(server, folder, options.revisions, options.history)
            compare(bench, options.rounds, megabytes)
            run, revision = overhead(bench)
            print(f"a run over one revision that is not there: {run:.1f} s; each further one: {revision * 1000:.0f} ms")


@contextmanager
def server_of(given: str | None, folder: Path) -> Iterator[str]:
    """The server that was given, or one of our own."""
    if given:
        yield given
        return
    with running(MARIADB, folder / "mariadb", OPTIONS) as server:
        yield server.url


if __name__ == "__main__":
    main()
