"""A sample and generated data sets on a real server, for all tests of this folder. No test changes them."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest

from kmdb_dagster.sample import sample_revision
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all
from kmdb_dagster_tests.questions.generated import World, world
from testing.databases import empty_database, make_tables, new_warehouse
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


class Generated(NamedTuple):
    """A data set in a database, and a file that names some of its people by any of their identities."""

    world: World
    warehouse: Warehouse
    cohort: Path


@pytest.fixture(scope="module", params=[1, 2, 3])
def generated(
    request: pytest.FixtureRequest, server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Generated]:
    """Three data sets."""
    made, folder = world(request.param), tmp_path_factory.mktemp("lake")
    cohort = folder / "cohort.txt"
    cohort.write_text(
        "".join(f"{name}\n" for name, person in made.identities.items() if int(person) % 3 and name[-1] == "0")
    )
    with new_warehouse(server_url) as warehouse:
        Revisions(warehouse, folder).put(1, *made.lines)
        yield Generated(made, warehouse, cohort)
