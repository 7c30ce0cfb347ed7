"""Generated journeys of any size, written directly into tables for `benchmarks.questions`.

Each person visits the site once and views pages until all events are made. Some sign up, some of those activate, some
of those upgrade. Both schemas get the same rows: ours, and km-db's as its migrations make it.
"""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv
from sqlalchemy import Connection, Engine

from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all
from kmdb_dagster.warehouse.schema.row_ids import LINE_BITS, ORDINAL_BITS

START = date(2014, 1, 1)
DAYS = 90
EVENTS_OF_A_PERSON = 20
LINES_OF_A_REVISION = 6000
NAMES = ("page view", "visited site", "signed up", "activated", "upgraded", "searched berths")
KEYS = ("campaign name", "headline test", "viewed url")
CAMPAIGNS = ("skippers newsletter", "spring berths", "direct")
HEADLINES = ("long", "short")

KMDB = {
    "events": "(user_id INT, n INT, t DATETIME, id INT NOT NULL AUTO_INCREMENT, UNIQUE KEY (t, id), KEY (id), KEY (n), "
    "KEY (user_id), KEY (user_id, n, t))",
    "properties": "(user_id INT, event_id INT, `key` INT, t DATETIME, value VARCHAR(255), "
    "id INT NOT NULL AUTO_INCREMENT, UNIQUE KEY (t, id), KEY (id), KEY (`key`), KEY (user_id), KEY (event_id), "
    "KEY (user_id, `key`, t))",
    "`keys`": "(id INT AUTO_INCREMENT PRIMARY KEY, string VARCHAR(255), UNIQUE KEY (string))",
}
"""The tables as HouseTrip/km-db's migrations 01 to 03 leave them. ``USING HASH`` is a B-tree in InnoDB."""

Numbers = NDArray[np.int64]


class Journeys(NamedTuple):
    """All events in the order of their time: who, when (seconds since `START`), which of `NAMES`."""

    person: Numbers
    second: Numbers
    name: Numbers
    before: int = 0
    """How many events there are before these."""

    def row(self, ids: Numbers) -> Numbers:
        """Return their row ids in our tables."""
        revision, line = np.divmod(ids + self.before, LINES_OF_A_REVISION)
        ours: Numbers = np.left_shift(np.left_shift(revision + 1, LINE_BITS) | line + 1, ORDINAL_BITS)
        return ours


def made(events: int, seed: int = 1) -> Journeys:
    """Generate this number of events, with one person per twenty events."""
    rng = np.random.default_rng(seed)
    people = max(1, events // EVENTS_OF_A_PERSON)
    person = np.arange(1, people + 1)
    arrival = rng.integers(0, DAYS * 86_400, people)
    parts = [(person, arrival, np.full(people, 1))]
    at, who = arrival, person
    for name, share, days in ((2, 0.25, 2.0), (3, 0.6, 1.0), (4, 0.4, 10.0)):
        goes_on = rng.random(len(who)) < share
        who = who[goes_on]
        at = at[goes_on] + 1 + (rng.exponential(days * 86_400, len(who))).astype(np.int64)
        parts.append((who, at, np.full(len(who), name)))
    rest = events - sum(len(part[0]) for part in parts)
    seen = rng.integers(0, people, rest)
    later = (rng.exponential(8 * 86_400, rest)).astype(np.int64)
    parts.append((seen + 1, arrival[seen] + later, np.where(rng.random(rest) < 0.85, 0, 5)))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    in_time = columns[1] < DAYS * 86_400
    columns = [column[in_time] for column in columns]
    order = np.lexsort((columns[0], columns[1]))
    in_order = [column[order] for column in columns]
    return Journeys(in_order[0], in_order[1], in_order[2])


def times(seconds: Numbers) -> Any:
    """Render seconds since `START` as SQL times."""
    start = int((datetime(START.year, START.month, START.day) - datetime(1970, 1, 1)).total_seconds())  # noqa: DTZ001 - both UTC
    return pa.array(seconds + start, pa.int64()).cast(pa.timestamp("s"))


def event_rows(journeys: Journeys, *, kmdb: bool) -> pa.Table:
    """Return the rows of ``events``."""
    ids = np.arange(len(journeys.person))
    common = {"user_id": journeys.person, "n": journeys.name + 1, "t": times(journeys.second)}
    if kmdb:
        return pa.table({**common, "id": ids + 1})
    return pa.table({**common, "id": journeys.row(ids), "identity_id": journeys.person})


def property_rows(journeys: Journeys, *, kmdb: bool, urls: bool = True) -> pa.Table:
    """Rows of ``properties``: campaign and headline of every visit, and unless told the URL of every page view."""
    visits, views = (np.flatnonzero(journeys.name == name) for name in (1, 0))
    views = views if urls else views[:0]
    who = journeys.person[visits]
    campaign = np.array(CAMPAIGNS)[np.minimum(who * 2654435761 % 8 // 2, 2)]
    headline = np.array(HEADLINES)[who * 40503 % 7 % 2]
    viewed = np.char.add("https://www.example.com/harbours/", (journeys.second[views] % 997).astype(str))
    at = np.concatenate([visits, visits, views])
    key = np.concatenate([np.full(len(visits), 1), np.full(len(visits), 2), np.full(len(views), 3)])
    value = np.concatenate([campaign, headline, viewed])
    order = np.argsort(at, kind="stable")
    at, key, value = at[order], key[order], value[order]
    ids = np.arange(len(at)) + 1 if kmdb else journeys.row(at) + key
    event = at + 1 if kmdb else journeys.row(at)
    common = {"user_id": journeys.person[at], "key": len(NAMES) + key, "t": times(journeys.second[at]), "value": value}
    more = {} if kmdb else {"identity_id": journeys.person[at]}
    return pa.table({**common, "event_id": event, "id": ids, **more})


def load(connection: Connection, table: str, rows: pa.Table, folder: Path) -> None:
    """Insert rows into a table."""
    path = folder / "rows"
    options = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    csv.write_csv(rows, path, options)
    columns = ", ".join(f"`{name}`" for name in rows.column_names)
    connection.exec_driver_sql(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} ({columns})")


def fill_ours(engine: Engine, journeys: Journeys, folder: Path) -> None:
    """Fill our existing tables, partitioned by week."""
    until = START + timedelta(DAYS)
    apply_plans(engine, plan_all(engine, min_date=START, max_date=until, days=7, today=until))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name_keys(connection)
        load(connection, "events", event_rows(journeys, kmdb=False), folder)
        load(connection, "properties", property_rows(journeys, kmdb=False), folder)


def name_keys(connection: Connection) -> None:
    """Insert the names of events and properties into our ``keys``."""
    names = [f"({at}, '{name}', UNHEX(SHA2('{name}', 256)))" for at, name in enumerate(NAMES + KEYS, 1)]
    connection.exec_driver_sql("INSERT INTO `keys` (id, string, digest) VALUES " + ", ".join(names))


def fill_kmdb(engine: Engine, journeys: Journeys, folder: Path) -> None:
    """Create and fill km-db's tables, partitioned by the same weeks."""
    weeks = [START + timedelta(days) for days in range(7, DAYS + 7, 7)]
    bounds = ", ".join(f"PARTITION p{week:%Y%m%d} VALUES LESS THAN ('{week}')" for week in weeks)
    by_week = f"PARTITION BY RANGE COLUMNS (t) ({bounds}, PARTITION pLast VALUES LESS THAN (MAXVALUE))"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table, columns in KMDB.items():
            partitioned = "" if table == "`keys`" else by_week
            connection.exec_driver_sql(f"CREATE TABLE {table} {columns} DEFAULT CHARACTER SET utf8 {partitioned}")
        names = [f"({at}, '{name}')" for at, name in enumerate(NAMES + KEYS, 1)]
        connection.exec_driver_sql("INSERT INTO `keys` (id, string) VALUES " + ", ".join(names))
        load(connection, "events", event_rows(journeys, kmdb=True), folder)
        load(connection, "properties", property_rows(journeys, kmdb=True), folder)
