"""Measures the user map of 10 million identities: `python -m benchmarks.people`.

On a MariaDB of its own: the map rebuilt as a whole, and one more revision's aliases on top of it, beside the same
revision on an empty map. The identities and aliases are invented and written straight into the tables.
"""

import argparse
import multiprocessing
import re
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import numpy as np
from sqlalchemy import Engine, create_engine

from dev.servers import MARIADB, running
from kmdb_dagster.erasure.redaction import Redactor
from kmdb_dagster.km_export.reader import read_lines
from kmdb_dagster.lake import ParsedFile, RawFile, write_parsed
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.rebuild import realias
from kmdb_dagster.warehouse.identity.revision import resolve_revisions
from kmdb_dagster.warehouse.identity.user_map import move_facts
from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all
from kmdb_dagster.warehouse.schema.migrations import migrate
from kmdb_dagster.warehouse.schema.row_ids import row_id

START = date(2012, 1, 1)
ALIASES_OF_A_REVISION = 2000
LOGINS = 0.3
"""The share of identities that are logins: half numbers, half addresses. The others are cookies."""
BATCH = 5000
ROWS_AT_A_TIME = 500_000
INDEXES = {
    "users": {"by_digest": "UNIQUE KEY by_digest (digest)", "by_name": "KEY by_name (name(64))"},
    "aliases": {"by_identity1": "KEY by_identity1 (identity1_id)", "by_identity2": "KEY by_identity2 (identity2_id)"},
}


def name(number: int, logins: int) -> str:
    """Return the name of an identity. Numbers below ``logins`` are people who logged in."""
    if number > logins:
        return f"{number * 2654435761 % 2**32:08x}+{number:07x}k="
    return str(number * 7) if number % 2 else f"person{number}@example.com"


def fill(engine: Engine, folder: Path, identities: int, aliases: int) -> None:
    """Write identities and aliases: cookies linked to logins, one address in ten to a number."""
    logins = int(identities * LOGINS)
    rng = np.random.default_rng(1)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table, indexes in INDEXES.items():
            connection.exec_driver_sql(f"ALTER TABLE {table} {', '.join(f'DROP KEY {index}' for index in indexes)}")
        for lines, statement in (
            (
                (f"{number}\t{name(number, logins)}" for number in range(1, identities + 1)),
                "users (id, name) SET digest = UNHEX(SHA2(name, 256))",
            ),
            (alias_rows(rng, identities, logins, aliases), "aliases (id, t, name1, name2, identity1_id, identity2_id)"),
        ):
            path = folder / "rows"
            path.write_text("\n".join(lines), "ascii")
            connection.exec_driver_sql(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {statement}")
        for table, indexes in INDEXES.items():
            connection.exec_driver_sql(f"ALTER TABLE {table} {', '.join(f'ADD {key}' for key in indexes.values())}")
        connection.exec_driver_sql("INSERT INTO user_map (identity_id, user_id) SELECT id, id FROM users")


def alias_rows(rng: np.random.Generator, identities: int, logins: int, aliases: int) -> Iterator[str]:
    """Yield rows of ``aliases``, revision by revision and week by week."""
    revisions = aliases // ALIASES_OF_A_REVISION + 1
    for start in range(0, aliases, ROWS_AT_A_TIME):
        count = min(ROWS_AT_A_TIME, aliases - start)
        one = rng.integers(logins + 1, identities + 1, count)
        one = np.where(rng.random(count) < 0.1, rng.integers(1, logins + 1, count), one)
        # Some log in far more often than others.
        other = (rng.random(count) ** 2 * logins).astype(np.int64) + 1
        for place, ends in enumerate(zip(one.tolist(), other.tolist(), strict=True), start):
            revision, line = divmod(place, ALIASES_OF_A_REVISION)
            day = START + timedelta(weeks=600 * revision // revisions)
            names = "\t".join(name(end, logins) for end in ends)
            yield f"{row_id(revision + 1, line + 1)}\t{day}\t{names}\t{ends[0]}\t{ends[1]}"


def new_aliases(revision: int, identities: int) -> Iterator[bytes]:
    """Return the lines of one more revision: new cookies of known people."""
    rng = np.random.default_rng(revision)
    logins = int(identities * LOGINS)
    for line, login in enumerate(rng.integers(1, logins + 1, ALIASES_OF_A_REVISION).tolist()):
        yield f'{{"_p":"new{revision}-{line}","_p2":"{name(login, logins)}","_t":1397577453}}\n'.encode()


def opened(url: str, database: str) -> Warehouse:
    """Open a warehouse with 600 time partitions."""
    with create_engine(database_url(f"{url}/mysql")).connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {database}")
    warehouse = Warehouse(database_url(f"{url}/{database}?local_infile=1"))
    migrate(warehouse.engine)
    until = START + timedelta(weeks=600)
    apply_plans(warehouse.engine, plan_all(warehouse.engine, min_date=START, max_date=until, days=7, today=until))
    return warehouse


def resolved(warehouse: Warehouse, folder: Path, revision: int, identities: int) -> tuple[float, float]:
    """Return the seconds to resolve a revision of 2,000 aliases, and to move facts afterwards."""
    path = folder / "one-more.parquet"
    lines = list(new_aliases(revision, identities))
    write_parsed(path, revision, RawFile(None, f"etag-{revision}", 0), read_lines(lines))
    started = time.perf_counter()
    resolve_revisions(warehouse, [ParsedFile(path, revision)], batch_size=BATCH, make_redactor=Redactor)
    between = time.perf_counter()
    move_facts(warehouse.engine)
    return between - started, time.perf_counter() - between


def rebuilt(url: str) -> None:
    """Rebuild the map and print the seconds, and the most memory that this process, which did nothing else, held."""
    warehouse = Warehouse(database_url(url))
    marks: dict[str, float] = {}
    started = time.perf_counter()

    def report(what: str, *_: int) -> None:
        marks[what] = time.perf_counter() - started

    done = realias(warehouse.engine, warehouse.generation(), report=report)
    print(f"whole rebuild: {done.identities:,} identities got another person")
    for what, seconds in marks.items():
        print(f"  until the end of {what:40} {seconds:6.1f} s")
    held = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    print(f"  seconds of this process's own work {time.process_time():8.1f}")
    print(f"  peak memory {int(held[1]) / 1024 if held else 0:,.0f} MiB")


def main() -> None:
    """Fill the tables, rebuild the map, and add revisions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--identities", type=int, default=10_000_000)
    parser.add_argument("--aliases", type=int, default=6_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pool", default="6G", help="MariaDB's buffer pool")
    options = parser.parse_args()
    settings = [f"--innodb-buffer-pool-size={options.pool}", "--innodb-log-file-size=2G"]
    with tempfile.TemporaryDirectory() as place, running(MARIADB, Path(place) / "mariadb", settings) as server:
        folder = Path(place)
        full, empty = opened(server.url, "full"), opened(server.url, "empty_one")
        started = time.perf_counter()
        fill(full.engine, folder, options.identities, options.aliases)
        filled = time.perf_counter() - started
        print(f"{options.identities:,} identities, {options.aliases:,} aliases, written in {filled:.0f} s")
        for title in ("from nothing", "again"):
            print(title)
            child = multiprocessing.get_context("spawn").Process(target=rebuilt, args=(f"{server.url}/full",))
            child.start()
            child.join()
        compare(folder, empty, full, options.rounds, options)


def compare(folder: Path, empty: Warehouse, full: Warehouse, rounds: int, options: argparse.Namespace) -> None:
    """Print the cost of one more revision on both warehouses, in alternating rounds."""
    first = options.aliases // ALIASES_OF_A_REVISION + 2
    taken: dict[str, list[tuple[float, float]]] = {"empty": [], "full": []}
    for number in range(rounds):
        for title, warehouse in (("empty", empty), ("full", full)):
            taken[title].append(resolved(warehouse, folder, first + number, options.identities))
    for title, seconds in taken.items():
        resolving, moving = (median(column) for column in zip(*seconds, strict=True))
        print(f"{title} map, one more revision: resolved in {resolving * 1000:.0f} ms, moved in {moving * 1000:.0f} ms")


if __name__ == "__main__":
    main()
