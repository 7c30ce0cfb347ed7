"""Ready-made text into the project's own tables by LOAD DATA, and nothing else."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pyarrow as pa
from sqlalchemy import create_engine

from benchmarks.databases import NAME, connected, pid_of, prepare, processor
from benchmarks.loading import Bench, Round
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse.loading.load_data import as_text
from kmdb_dagster.warehouse.schema.row_ids import row_id

TABLES = {
    "events": ("id", "t", "n", "user_id", "identity_id"),
    "properties": ("id", "t", "key", "value", "user_id", "event_id", "identity_id"),
}


def shares(last: int, many: int) -> list[tuple[int, int]]:
    """Split the revisions into this number of ranges."""
    bounds = [last * part // many for part in range(many + 1)]
    return [(low + 1, high) for low, high in pairwise(bounds)]


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
    prepare(bench.server)
    pid = pid_of(bench.server)
    before, start = processor(pid), time.monotonic()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(lambda part: load_bare(bench, *part), shares(bench.revisions, connections)))
    return Round(time.monotonic() - start, 0, processor(pid) - before, 0)
