"""Shared by the benchmarks of a server: the server, an empty warehouse, and CPU time."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import MySQLdb

from dev.servers import MARIADB, running
from kmdb_dagster.sample import sample_revision
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all
from kmdb_dagster.warehouse.schema.migrations import migrate

NAME = "kmdb_benchmark"

OPTIONS = (
    # What docs/how-to/set-up.md recommends.
    "--innodb-buffer-pool-size=2G",
    "--innodb-log-file-size=2G",
    "--max-allowed-packet=64M",
)

CLOCK = os.sysconf("SC_CLK_TCK")


@contextmanager
def server_of(given: str | None, folder: Path, options: Sequence[str] = OPTIONS) -> Iterator[str]:
    """Yield the given server, or a private one."""
    if given:
        yield given
        return
    with running(MARIADB, folder / "mariadb", options) as server:
        yield server.url


@contextmanager
def connected(server: str, database: str = "mysql") -> Iterator[Any]:
    """Open a cursor of a bare connection."""
    url = database_url(f"{server}/{database}")
    connection = MySQLdb.connect(
        host=url.host, port=url.port or 3306, user=url.username, db=database, charset="utf8mb4", local_infile=1
    )
    yield connection.cursor()
    connection.commit()
    connection.close()


def empty(server: str, *names: str) -> None:
    """Create databases without tables."""
    with connected(server) as cursor:
        for name in names:
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")
            cursor.execute(f"CREATE DATABASE {name}")


YEAR = 364
"""Days."""


def prepare(server: str, *, days: int = 7, covered: int = YEAR) -> None:
    """Create an empty warehouse with partitions of ``days`` days over the first days of 2014; 0: one partition."""
    empty(server, NAME)
    warehouse = Warehouse(database_url(f"{server}/{NAME}"))
    migrate(warehouse.engine)
    first, today = date(2013, 12, 30), datetime.now(UTC).date()
    if days:
        last = first + timedelta(days=covered)
        apply_plans(warehouse.engine, plan_all(warehouse.engine, min_date=first, max_date=last, days=days, today=today))
    warehouse.close()


def make_bucket(folder: Path, revisions: int, lines: int, *, stride: int = 1) -> float:
    """Write the sample, or every n-th revision of it, into a folder. Return its megabytes."""
    (folder / "revisions").mkdir(parents=True)
    sizes = [
        (folder / "revisions" / f"{number}.json").write_bytes(sample_revision(1 + (number - 1) * stride, lines=lines))
        for number in range(1, revisions + 1)
    ]
    return sum(sizes) / 1e6


def processor(pid: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK


def processor_of_tree(pid: int) -> float:
    """Return the CPU seconds of a process, of those that it started, and of those that ended."""
    parents = dict(_parent_and_processor(folder) for folder in Path("/proc").glob("[0-9]*"))
    found, total = {pid}, 0.0
    while found:
        total += sum(parents[one][1] for one in found if one in parents)
        found = {child for child, (parent, _) in parents.items() if parent in found}
    return total


def _parent_and_processor(folder: Path) -> tuple[int, tuple[int, float]]:
    pid = int(folder.name)
    try:
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return pid, (0, 0.0)
    return pid, (int(fields[1]), sum(map(int, fields[11:15])) / CLOCK)


def pid_of(server: str) -> int:
    """Return the pid of the server."""
    with connected(server) as cursor:
        cursor.execute("SELECT @@pid_file, @@datadir")
        pid_file, folder = cursor.fetchone()
    return int((Path(folder) / pid_file).read_text("ascii"))
