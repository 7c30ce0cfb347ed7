"""A sample and generated data sets on a real server, for all tests of this folder. No test changes them.

Each question that a test asks of the tables is asked of the columnar copy too, and must have the same answer there.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest
from polars.testing import assert_frame_equal
from sqlalchemy import Engine

from kmdb_dagster.columnar.current import Place, ReadFrom, choose_place
from kmdb_dagster.lake import Lake
from kmdb_dagster.questions.answer import Answer
from kmdb_dagster.questions.people_list import PeopleList
from kmdb_dagster.questions.question import Question
from kmdb_dagster.sample import sample_revision
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.bindings import database_id
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


@pytest.fixture(scope="session")
def folder_of_copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the columnar copies, one for each database."""
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(autouse=True)
def _asked_of_both(folder_of_copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask each question of the copy too, and compare the answers and the lists of people."""
    ask = Question.ask

    def ask_both(
        question: Question, engine: Engine, people: PeopleList | None = None, place: Place | None = None
    ) -> Answer:
        answer = ask(question, engine, people, place)
        if place is None:
            folder = folder_of_copies / database_id(engine).hex()
            copy = choose_place(engine, Lake(folder), folder / "columnar", ReadFrom.COLUMNAR)
            listed = people and people._replace(file=people.file.with_name("from_copy.csv"))
            _assert_same(answer, ask(question, engine, listed, copy))
            assert not people or not listed or people.file.read_bytes() == listed.file.read_bytes()
        return answer

    monkeypatch.setattr(Question, "ask", ask_both)


def _assert_same(one: Answer, other: Answer) -> None:
    assert (one.question, one.finding, str(one.span)) == (other.question, other.finding, str(other.span))
    assert one.caveats == other.caveats
    assert one.number == pytest.approx(other.number)
    assert_frame_equal(one.frame, other.frame)
    assert (one.read_from, other.read_from) == tuple(
        f"Read from {place}, as of revision {one.read_from.split()[-1]}"
        for place in ("the tables", "the columnar copy")
    )


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
