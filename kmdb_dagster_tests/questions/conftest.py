"""A sample on a real server, for all tests of this folder. No test changes it."""

from collections.abc import Iterator
from datetime import date

import pytest

from kmdb_dagster.sample import sample_revision
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all
from testing.databases import empty_database, make_tables
from testing.revisions import Revisions, change

REVISIONS, LINES = 6, 1000


@pytest.fixture(scope="session")
def sampled_url(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a database with a few hours of the sample, in time partitions of a day."""
    with empty_database(server_url) as url:
        make_tables(url)
        warehouse = Warehouse(database_url(url))
        days = {"min_date": date(2013, 12, 25), "max_date": date(2014, 1, 10)}
        apply_plans(warehouse.engine, plan_all(warehouse.engine, **days, days=1, today=date(2014, 1, 1)))
        revisions = Revisions(warehouse, tmp_path_factory.mktemp("lake"))
        for number in range(1, REVISIONS + 1):
            revisions.put(number, sample_revision(number, lines=LINES))
        change(warehouse.engine, "ANALYZE TABLE events, properties, `keys`")
        warehouse.close()
        yield url


@pytest.fixture(scope="session")
def sampled(sampled_url: str) -> Iterator[Warehouse]:
    """The warehouse of it."""
    warehouse = Warehouse(database_url(sampled_url))
    yield warehouse
    warehouse.close()
