"""The import by Dagster runs, each a process of its own, as Dagster's launcher starts one."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.databases import empty, pid_of, prepare, processor
from benchmarks.loading import Bench, Round
from benchmarks.loading.bare import shares
from kmdb_dagster.dagster_ext.partition_registry import register
from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.user_map import move_facts
from kmdb_dagster.warehouse.maintenance import indexes

ROOT = Path(__file__).parents[2]
HISTORY = "kmdb_benchmark_history"


def through_dagster(
    bench: Bench, runs: int, *, bucket: Path | None = None, last: int = 0, indexed: bool = True
) -> tuple[Round, float]:
    """A round of it, from the start of the processes to the end of the last one.

    Args:
        bench: what to import.
        runs: into how many runs it is split, which work at once.
        bucket: another bucket.
        last: another last revision than the bench's.
        indexed: without: the indexes are dropped before, and built afterwards.

    Returns:
        The round, and the seconds in it that building the indexes took.
    """
    prepare(bench.server)
    empty(bench.server, HISTORY)
    last = last or bench.revisions
    warehouse = Warehouse(database_url(bench.database))
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        home = Path(folder) / "home"
        env = environment(bench, home, bucket or bench.folder / "bucket")
        with_instance(env, last, warehouse)
        if not indexed:
            indexes.drop(warehouse.engine)
        pid = pid_of(bench.server)
        before = processor(pid)
        taken = import_ranges(bench, env, shares(last, runs))
        start = time.monotonic()
        if not indexed:
            indexes.build(warehouse.engine)
            move_facts(warehouse.engine)
        building = time.monotonic() - start
    warehouse.close()
    return taken._replace(seconds=taken.seconds + building, server=processor(pid) - before), building


def import_ranges(bench: Bench, env: dict[str, str], ranges: Sequence[tuple[int, int]]) -> Round:
    """Import ranges of revisions, each by a run, all at once."""
    pid = pid_of(bench.server)
    before, start = processor(pid), time.monotonic()
    usages = [finished(run, Path(env["DAGSTER_HOME"])) for run in [start_run(env, *part) for part in ranges]]
    seconds, server = time.monotonic() - start, processor(pid) - before
    python = sum(usage.ru_utime + usage.ru_stime for usage, _ in usages)
    return Round(seconds, python, server, max(peak for _, peak in usages))


def overhead(bench: Bench, many: int = 60) -> tuple[float, float]:
    """Seconds of a run, and of a revision in it, that is not there: what Dagster and our bookkeeping cost."""
    nothing = bench.folder / "empty"
    (nothing / "revisions").mkdir(parents=True, exist_ok=True)
    one, more = (through_dagster(bench, 1, bucket=nothing, last=last)[0].seconds for last in (1, many + 1))
    return one, (more - one) / many


def environment(bench: Bench, home: Path, bucket: Path) -> dict[str, str]:
    """What the import's processes get."""
    source = ROOT / ("deploy/mysql/dagster.yaml" if bench.history == "mysql" else "dagster.yaml")
    home.mkdir()
    (home / "dagster.yaml").write_text(source.read_text("utf-8"), "utf-8")
    return {
        **os.environ,
        # A run works in a folder of its own: what is measured is this checkout, whatever is installed.
        "PYTHONPATH": str(ROOT),
        "DAGSTER_HOME": str(home),
        "DAGSTER_MYSQL_URL": f"{database_url(f'{bench.server}/{HISTORY}').render_as_string(hide_password=False)}",
        "DATABASE_URL": bench.database,
        "KMDB_LOCAL_BUCKET": str(bucket),
        "KMDB_DATA_DIR": str(home / "lake"),
    }


def with_instance(env: dict[str, str], last: int, warehouse: Warehouse) -> None:
    """Make the history's tables, and partitions of the revisions."""
    os.environ.update({name: env[name] for name in ("DAGSTER_HOME", "DAGSTER_MYSQL_URL")})
    os.chdir(env["DAGSTER_HOME"])
    with dg.DagsterInstance.get() as instance:
        register(instance, warehouse, 1, last)
    os.chdir(ROOT)


def start_run(env: dict[str, str], first: int, last: int) -> subprocess.Popen[bytes]:
    """A run over a range."""
    tags = json.dumps({RANGE_START: str(first), RANGE_END: str(last)})
    job = ["-m", "kmdb_dagster.definitions", "-j", "import_revisions", "--tags", tags]
    command = [sys.executable, "-m", "dagster", "job", "execute", *job]
    with (Path(env["DAGSTER_HOME"]) / f"log-{first}").open("wb") as log:
        return subprocess.Popen(command, env=env, cwd=env["DAGSTER_HOME"], stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - ours


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
