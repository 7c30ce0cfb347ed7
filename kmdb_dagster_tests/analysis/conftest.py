"""Fixtures of the tests of analysis: two databases that no test changes."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from kmdb_dagster.analysis import connect
from kmdb_dagster.km_export.layout import parse_revision
from kmdb_dagster.sample import sample_bucket
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all
from testing.buckets import T, alias, event, line, property_set
from testing.databases import empty_database, make_tables
from testing.revisions import Revisions, change
from testing.terminal import Terminal

DAY = 86400
LONG = "what our visitors told us when we asked them, in the year of "
BY_HAND = [
    event("visited site", "cookie", T, referer="a"),
    event("visited site", "cookie", T + 5, referer="b", page='it\'s 100% \\ "new"'),
    event("signed up", "bob@example.com", T + DAY, plan="free", seats="3", price="4.50", when="2014-04-15 10:00:00"),
    event("signed up", "eve", T + 2 * DAY, plan="crew", seats="-12", price="10", Plan="other", event_id="12"),
    event("Visited site", "eve", T + 2 * DAY),
    property_set("bob@example.com", T + 3 * DAY, plan="crew", zip="007"),
    line({"_p": "eve", "_t": T + 3 * DAY, LONG + "the first": "x", LONG + "the second": "y"}),
    alias("cookie", "bob@example.com", T + DAY),
    alias("42", "bob@example.com", T + DAY),
    b"no json\n",
]


def filled(server_url: str, lake: Path, revisions: dict[int, bytes], days: dict[str, date]) -> Iterator[Warehouse]:
    """A database with these revisions in it."""
    with empty_database(server_url) as url:
        make_tables(url)
        warehouse = Warehouse(database_url(url))
        apply_plans(warehouse.engine, plan_all(warehouse.engine, **days, days=7, today=date(2014, 1, 1)))
        put = Revisions(warehouse, lake)
        for number, content in revisions.items():
            put.put(number, content)
        change(warehouse.engine, "ANALYZE TABLE events, properties, users, user_map, `keys`")
        yield warehouse
        warehouse.close()


@pytest.fixture(scope="package")
def by_hand(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A few lines in a week of ten: each of them is known."""
    days = {"min_date": date(2014, 3, 3), "max_date": date(2014, 5, 12)}
    yield from filled(server_url, tmp_path_factory.mktemp("lake"), {1: b"".join(BY_HAND)}, days)


@pytest.fixture(scope="package")
def sample(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """What `kmdb sample --revisions 90 --lines 200` writes."""
    files = {number: content for key, content in sample_bucket(90, 200) if (number := parse_revision(key))}
    days = {"min_date": date(2013, 12, 30), "max_date": date(2014, 2, 3)}
    yield from filled(server_url, tmp_path_factory.mktemp("lake"), files, days)


@pytest.fixture
def connected(by_hand: Warehouse) -> Iterator[Warehouse]:
    """The model classes ask the database of known lines."""
    with connect(by_hand.engine.url.render_as_string(hide_password=False)):
        yield by_hand


@pytest.fixture
def revisions(warehouse: Warehouse, tmp_path: Path) -> Revisions:
    """Puts revisions into this test's own warehouse."""
    return Revisions(warehouse, tmp_path)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal in an empty folder, without settings."""
    folder = tmp_path / "here"
    folder.mkdir()
    return Terminal(folder)
