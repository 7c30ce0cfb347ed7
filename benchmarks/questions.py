"""Measures the questions: `python -m benchmarks.questions`. Beside them the same questions, as SQL to km-db's tables.

On a MariaDB of its own, or on one that is named: the same invented events in our tables and in km-db's, both split into
weeks. Each question is asked three ways, in turns: by `kmdb_dagster.questions`; by one statement to our tables; by the
same statement to km-db's tables. The three must agree.
"""

import argparse
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError

from benchmarks.journeys import DAYS, START, Journeys, fill_kmdb, fill_ours, made
from dev.servers import MARIADB, running
from kmdb_dagster.questions.grammar import parse
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse.connection.mysql_errors import error_number
from kmdb_dagster.warehouse.connection.server import connect
from kmdb_dagster.warehouse.schema.migrations import migrate

MOST_SECONDS = 300
"""A statement that takes longer is ended."""
TOO_LONG = 1969
"""MariaDB's number for that."""
WEEK = "INTERVAL 7 DAY"
BOUNDS = "{0}.t >= '2014-01-01' AND {0}.t < '2014-04-01'"
# In the sample ids ascend with time, so the event of the lowest id is the first, and an id breaks ties.
FIRST = (
    "SELECT user_id, MIN(t) AS t, MIN(id) AS id FROM events a WHERE n = 2 AND "
    + BOUNDS.format("a")
    + " GROUP BY user_id"
)


class Case(NamedTuple):
    """A question and the same as one SQL statement, which must give the same numbers."""

    line: str
    numbers: Callable[[pl.DataFrame], list[Any]]
    sql: str


def total(*columns: str) -> Callable[[pl.DataFrame], list[Any]]:
    """Return the sums of columns."""
    return lambda frame: [int(frame[column].sum()) for column in columns]


CASES = {
    "events by name and day": Case(
        "trend --every 1d",
        total("events"),
        "SELECT SUM(c) FROM (SELECT n, DATE(t), COUNT(*) AS c, COUNT(DISTINCT user_id) FROM events a "
        f"WHERE {BOUNDS.format('a')} GROUP BY 1, 2) counts",
    ),
    "events by a property and day": Case(
        'trend "visited site" --by "campaign name" --every 1d',
        total("events", "people"),
        "SELECT SUM(c), SUM(p) FROM (SELECT q.value, DATE(a.t), COUNT(*) AS c, COUNT(DISTINCT a.user_id) AS p "
        "FROM events a JOIN properties q ON q.event_id = a.id AND q.`key` = 7 "
        f"WHERE a.n = 2 AND {BOUNDS.format('a')} GROUP BY 1, 2) counts",
    ),
    "funnel of three steps": Case(
        'funnel "visited site" "signed up" activated --within 7d',
        lambda frame: frame["people"].to_list(),
        "SELECT COUNT(DISTINCT a.user_id), COUNT(DISTINCT b.user_id), COUNT(DISTINCT c.user_id) FROM events a "
        f"LEFT JOIN events b ON b.user_id = a.user_id AND b.n = 3 AND b.t > a.t AND b.t <= a.t + {WEEK} "
        f"LEFT JOIN events c ON c.user_id = a.user_id AND c.n = 4 AND c.t > b.t AND c.t <= a.t + {WEEK} "
        f"WHERE a.n = 2 AND {BOUNDS.format('a')}",
    ),
    "funnel of a segment": Case(
        'funnel "visited site" "signed up" --within 7d --did activated',
        lambda frame: frame["people"].to_list(),
        "SELECT COUNT(DISTINCT a.user_id), COUNT(DISTINCT b.user_id) FROM events a "
        f"LEFT JOIN events b ON b.user_id = a.user_id AND b.n = 3 AND b.t > a.t AND b.t <= a.t + {WEEK} "
        f"WHERE a.n = 2 AND {BOUNDS.format('a')} "
        f"AND a.user_id IN (SELECT d.user_id FROM events d WHERE d.n = 4 AND {BOUNDS.format('d')})",
    ),
    "retention by week": Case(
        'retention "visited site" --every 7d',
        lambda frame: [int(frame.filter(pl.col("period") == 1)["back"].sum())],
        f"SELECT COUNT(*) FROM (SELECT b.user_id, TIMESTAMPDIFF(SECOND, b.t, e.t) DIV 604800 AS period "
        f"FROM ({FIRST}) b JOIN events e ON e.user_id = b.user_id AND e.t > b.t WHERE {BOUNDS.format('e')} "
        "AND (TIMESTAMPDIFF(SECOND, '2014-01-01', b.t) DIV 604800 + 3) * 604800 <= 90 * 86400 "
        "GROUP BY b.user_id, period) seen WHERE period = 1",
    ),
    "time to convert": Case(
        'delay "visited site" "signed up" --within 7d',
        total("people", "converted", "median"),
        "SELECT COUNT(*), COUNT(took), MAX(IF(place = CEIL(there / 2), took, NULL)) FROM (SELECT took, "
        "ROW_NUMBER() OVER (ORDER BY took IS NULL, took) AS place, COUNT(took) OVER () AS there FROM ("
        "SELECT b.user_id, MIN(TIMESTAMPDIFF(SECOND, b.t, e.t)) AS took "
        f"FROM ({FIRST}) b LEFT JOIN events e ON e.user_id = b.user_id AND e.n = 3 AND e.t > b.t "
        f"AND e.t <= b.t + {WEEK} GROUP BY b.user_id) d) numbered",
    ),
    "days of the month": Case(
        'power "page view"',
        lambda frame: [people for people in frame["people"] if people],
        "SELECT COUNT(*) FROM (SELECT user_id, MONTH(t) AS m, LEAST(COUNT(DISTINCT DATE(t)), 28) AS days "
        f"FROM events a WHERE n = 1 AND {BOUNDS.format('a')} GROUP BY 1, 2) d GROUP BY m, days ORDER BY m, days",
    ),
    "how often one event follows another": Case(
        'repeats "visited site" "page view" --within 7d',
        lambda frame: [people for people in frame["people"] if people],
        "SELECT COUNT(*) FROM (SELECT b.user_id, LEAST(COUNT(e.id), 10) AS times "
        f"FROM ({FIRST}) b LEFT JOIN events e ON e.user_id = b.user_id AND e.n = 1 AND e.id > b.id AND e.t >= b.t "
        f"AND e.t <= b.t + {WEEK} GROUP BY b.user_id) r GROUP BY times ORDER BY times",
    ),
    "paths of up to 5": Case(
        'paths "visited site" "signed up" --within 7d',
        lambda frame: frame["people"].head(3).to_list(),
        "WITH after AS (SELECT e.user_id, e.t, e.id, e.n, LAG(e.n) OVER (PARTITION BY e.user_id ORDER BY e.t, e.id) "
        "AS before_n, MIN(IF(e.n = 3 AND e.id > b.id, e.id, NULL)) OVER (PARTITION BY e.user_id) AS goal "
        f"FROM ({FIRST}) b JOIN events e ON e.user_id = b.user_id AND e.id >= b.id AND e.t >= b.t "
        f"AND e.t <= b.t + {WEEK}), "
        "steps AS (SELECT user_id, n, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY t, id) AS place FROM after "
        "WHERE id <= goal AND NOT n <=> before_n), "
        "ways AS (SELECT user_id, COUNT(*) AS length, "
        "GROUP_CONCAT(IF(place < 5 OR n = 3, n, NULL) ORDER BY place) AS way "
        "FROM steps GROUP BY user_id) SELECT COUNT(*) FROM ways GROUP BY way, length > 5 ORDER BY 1 DESC LIMIT 3",
    ),
    "A/B comparison": Case(
        'experiment "headline test" "signed up" --within 7d',
        total("people", "converted"),
        "SELECT COUNT(DISTINCT v.user_id), COUNT(DISTINCT e.user_id) FROM (SELECT user_id, MIN(t) AS t "
        f"FROM properties q WHERE `key` = 8 AND {BOUNDS.format('q')} GROUP BY user_id) v LEFT JOIN events e "
        f"ON e.user_id = v.user_id AND e.n = 3 AND e.t > v.t AND e.t <= v.t + {WEEK}",
    ),
    "properties that go with conversion": Case(
        'drivers "visited site" "signed up" --with "campaign name" --with "headline test" --within 7d',
        lambda frame: [int(frame["people"].sum()) // 2, int(frame["converted"].sum()) // 2],
        "SELECT SUM(people), SUM(converted) FROM ("
        "SELECT campaign.value AS v1, headline.value AS v2, COUNT(*) AS people, "
        f"COUNT(d.goal) AS converted FROM (SELECT b.user_id, MIN(e.t) AS goal FROM ({FIRST}) b LEFT JOIN events e "
        f"ON e.user_id = b.user_id AND e.n = 3 AND e.t > b.t AND e.t <= b.t + {WEEK} GROUP BY b.user_id) d "
        "LEFT JOIN properties campaign ON campaign.user_id = d.user_id AND campaign.`key` = 7 "
        "LEFT JOIN properties headline ON headline.user_id = d.user_id AND headline.`key` = 8 GROUP BY 1, 2) patterns",
    ),
}


def asked(engine: Engine, case: Case) -> list[Any]:
    """Return the answer of the question."""
    line = f"{case.line} --since {START} --until 2014-04-01"
    return case.numbers(parse(line).ask(engine).frame)


def selected(engine: Engine, case: Case) -> list[Any]:
    """Return the answer of the statement."""
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET max_statement_time = {MOST_SECONDS}")
        try:
            rows = connection.exec_driver_sql(case.sql.replace("%", "%%")).all()
        except DBAPIError as error:
            if error_number(error) != TOO_LONG:
                raise
            return []
    return [int(value) for row in rows for value in row]


def timed(answer: Callable[[Engine, Case], list[Any]], engine: Engine, case: Case) -> tuple[float, list[Any]]:
    """Return the seconds and the answer."""
    started = time.perf_counter()
    found = answer(engine, case)
    return time.perf_counter() - started, found


def opened(url: str, database: str) -> Engine:
    """Create and open a new database on the server."""
    with create_engine(database_url(f"{url}/mysql")).connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {database}")
    return connect(database_url(f"{url}/{database}?local_infile=1"))


def fill(url: str, journeys: Journeys, folder: Path) -> None:
    """Fill both schemas."""
    for database, filled in (("ours", fill_ours), ("kmdb", fill_kmdb)):
        engine = opened(url, database)
        if filled is fill_ours:
            migrate(engine)
        started = time.perf_counter()
        filled(engine, journeys, folder)
        with engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE TABLE events, properties")
            tables = "SELECT SUM(data_length + index_length) / 1e6 FROM information_schema.tables WHERE table_schema = "
            size = connection.exec_driver_sql(f"{tables}'{database}'").scalar_one()
        print(f"{database:5} filled in {time.perf_counter() - started:.0f} s, {size:,.0f} MB")


def compare(url: str, rounds: int, wanted: str) -> None:
    """Measure both in alternating rounds, and print the best."""
    ours, kmdb = (connect(database_url(f"{url}/{database}")) for database in ("ours", "kmdb"))
    ways = [(asked, ours), (selected, ours), (selected, kmdb)]
    asked(ours, CASES["A/B comparison"])  # libraries are imported, which takes a second or two
    print(f"| {'question':36} | asked | SQL, our tables | SQL, km-db's | km-db's / asked |\n|{' --- |' * 5}")
    for name, case in CASES.items():
        if not re.search(wanted, name):
            continue
        turns = [[timed(way, engine, case) for way, engine in ways] for _ in range(rounds)]
        answers = [answer for turn in turns for _, answer in turn if answer]
        assert all(answer == answers[0] for answer in answers), (name, answers)  # noqa: S101 - else figures mean nothing
        best = [min(seconds for seconds, _ in column) for column in zip(*turns, strict=True)]
        ended = ["" if all(answer for _, answer in column) else "> " for column in zip(*turns, strict=True)]
        cells = " | ".join(f"{more}{seconds:.1f} s" for more, seconds in zip(ended, best, strict=True))
        print(f"| {name:36} | {cells} | {ended[2]}{best[2] / best[0]:.1f} |", flush=True)


def main() -> None:
    """Fill both schemas, and compare every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--pool", default="4G", help="MariaDB's buffer pool")
    parser.add_argument(
        "--server", help="a server whose databases `ours` and `kmdb` are filled, e.g. mysql://root@127.0.0.1:3306"
    )
    parser.add_argument("--only", default="", help="questions with these words in their name")
    options = parser.parse_args()
    if options.server:
        compare(options.server, options.rounds, options.only)
    else:
        settings = [f"--innodb-buffer-pool-size={options.pool}", "--innodb-log-file-size=1G"]
        with tempfile.TemporaryDirectory() as place:
            # Not in /tmp: a MariaDB that starts there removes what others have in it.
            temporary = Path(place) / "temporary"
            temporary.mkdir()
            settings.append(f"--tmpdir={temporary}")
            with running(MARIADB, Path(place) / "mariadb", settings) as server:
                journeys = made(options.events)
                print(f"{len(journeys.person):,} events in {DAYS} days")
                fill(server.url, journeys, Path(place))
                compare(server.url, options.rounds, options.only)
    held = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    print(
        f"peak memory of this process {int(held[1]) / 1024 if held else 0:,.0f} MiB, the making of the events included"
    )


if __name__ == "__main__":
    main()
