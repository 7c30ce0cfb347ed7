"""What a user might pick instead of the import: km-db's way, dlt and DuckDB, each in a process of its own.

They do less: none resolves identities, keeps rejected lines, replaces a revision or survives a kill.

    python -m benchmarks.loading.anchors NAME BUCKET DATABASE_URL
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from benchmarks.databases import NAME, connected, empty, pid_of, prepare, processor
from benchmarks.loading import Bench, Round
from benchmarks.loading.runs import ROOT, finished

OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
ROWS_PER_INSERT = 100
"""km-db's, by its README."""
TABLES_OF_KM_DB = (
    "CREATE TABLE km_keys (id INT PRIMARY KEY AUTO_INCREMENT, string VARCHAR(255) CHARACTER SET utf8mb4, KEY (string))",
    "CREATE TABLE km_users (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(255) CHARACTER SET utf8mb4, KEY (name))",
)


def anchored(name: str, bench: Bench) -> Round:
    """Measure one of them."""
    prepare(bench.server)
    empty(bench.server, f"{NAME}_dlt")
    pid = pid_of(bench.server)
    before, start = processor(pid), time.monotonic()
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder, (Path(folder) / "log-anchor").open("wb") as log:
        command = [sys.executable, "-m", __name__, name, str(bench.folder / "bucket"), bench.server]
        # dlt would report its use to its maker.
        env = {**os.environ, "PYTHONPATH": str(ROOT), "RUNTIME__DLTHUB_TELEMETRY": "false"}
        run = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - ours
        usage, peak = finished(run, Path(folder))
    python = usage.ru_utime + usage.ru_stime
    return Round(time.monotonic() - start, python, processor(pid) - before, peak)


def with_inserts(bucket: Path, server: str) -> None:
    """Load as km-db does: names and users looked up in memory, rows by INSERTs of 100, a transaction for each file."""
    with connected(server, NAME) as cursor:
        for statement in TABLES_OF_KM_DB:
            cursor.execute(statement)
        keys, users = _Ids(cursor, "km_keys", "string"), _Ids(cursor, "km_users", "name")
        for number, file in enumerate(_files(bucket), 1):
            events, properties = _rows(file, number << 40, keys, users)
            _insert(cursor, "events (id, t, n, user_id, identity_id)", events)
            _insert(cursor, "properties (id, t, `key`, value, user_id, event_id, identity_id)", properties)
            cursor.connection.commit()


def with_dlt(bucket: Path, server: str) -> None:
    """Load with dlt into one table with a column for each property, as its documentation begins."""
    dlt = importlib.import_module("dlt")
    pipeline = dlt.pipeline(
        "kissmetrics",
        destination=dlt.destinations.sqlalchemy(f"{server}/{NAME}_dlt".replace("mysql://", "mysql+mysqldb://")),
        dataset_name=f"{NAME}_dlt",
        pipelines_dir=tempfile.mkdtemp(dir="."),
    )
    records = (record for file in _files(bucket) for record in _records(file))
    pipeline.run(records, table_name="km_lines", write_disposition="append").raise_on_failed_jobs()


def with_duckdb(bucket: Path, server: str) -> None:
    """Read the files with DuckDB into a table of its own. Lines with octal text are no JSON, and are left out."""
    del server
    with duckdb.connect("lines.duckdb") as duck:
        duck.execute(
            "CREATE TABLE lines AS SELECT * FROM read_json($files, format = 'newline_delimited', ignore_errors = true, "
            "union_by_name = true, sample_size = -1)",
            {"files": f"{bucket}/revisions/*.json"},
        )


class Anchor(NamedTuple):
    """A way of loading, and what the table calls it."""

    title: str
    load: Callable[[Path, str], None]


ANCHORS: Mapping[str, Anchor] = {
    "km-db": Anchor("km-db's way: INSERTs of 100", with_inserts),
    "dlt": Anchor("dlt, one wide table", with_dlt),
    "duckdb": Anchor("DuckDB, lines without octal", with_duckdb),
}


def require_dlt(anchors: Sequence[str]) -> None:
    """End with a message if dlt is wanted and not installed: better before the measurements than after."""
    if "dlt" in anchors and importlib.util.find_spec("dlt") is None:
        raise SystemExit(
            "dlt is not installed. Run `pip install --group benchmark -c constraints.txt`, or add `--without dlt`."
        )


class _Ids:
    """The ids of names, each looked up once."""

    def __init__(self, cursor: Any, table: str, column: str) -> None:
        self._cursor = cursor
        self._known: dict[str, int] = {}
        self._statement = f"INSERT INTO {table} ({column}) VALUES (%s)"

    def __getitem__(self, name: str) -> int:
        if name not in self._known:
            self._cursor.execute(self._statement, (name[:255],))
            self._known[name] = self._cursor.lastrowid
        return self._known[name]


def _rows(file: Path, row_id: int, keys: _Ids, users: _Ids) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    events: list[tuple[Any, ...]] = []
    properties: list[tuple[Any, ...]] = []
    for record in _records(file):
        if "_p2" in record:
            continue
        user, at = users[record["_p"]], datetime.fromtimestamp(record["_t"], UTC).replace(tzinfo=None)
        row_id += 1
        event = row_id if "_n" in record else None
        if event:
            events.append((event, at, keys[record["_n"]], user, user))
        for name, value in record.items():
            if not name.startswith("_"):
                row_id += 1
                properties.append((row_id, at, keys[name], str(value), user, event, user))
    return events, properties


def _insert(cursor: Any, table: str, rows: list[tuple[Any, ...]]) -> None:
    for start in range(0, len(rows), ROWS_PER_INSERT):
        batch = rows[start : start + ROWS_PER_INSERT]
        places = ", ".join(["%s"] * len(batch[0]))
        cursor.execute(
            f"INSERT INTO {table} VALUES " + ", ".join([f"({places})"] * len(batch)),
            [cell for row in batch for cell in row],
        )


def _files(bucket: Path) -> list[Path]:
    return sorted((bucket / "revisions").glob("*.json"), key=lambda file: int(file.stem))


def _records(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines that are JSON objects with an identity and a time, octal text decoded."""
    for line in file.read_bytes().split(b"\n"):
        try:
            record = json.loads(OCTAL.sub(lambda match: bytes([int(match[1], 8)]), line))
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("_t"), int) and isinstance(record.get("_p"), str):
            yield record


if __name__ == "__main__":
    ANCHORS[sys.argv[1]].load(Path(sys.argv[2]), sys.argv[3])
