"""The queries of docs/reference/tables.md use an index or read few time partitions."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine

from kmdb_dagster.sample import sample_revision
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all
from testing.buckets import event
from testing.databases import empty_database, make_tables
from testing.query_plans import explained
from testing.revisions import Revisions, change

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "tables.md"
MOST_PARTITIONS = 4
"""Of the ten that there are: what a scan may read."""

QUESTIONS = [
    "-- 1: an event's name, by week",
    "-- 2: A, then B within 7 days",
    "-- 3: the last value of a property for each person",
    "-- 4: a person's whole history",
    "-- 5: the properties of one event",
    "-- 6: the properties of the events of a week",
]


def query(question: str) -> str:
    """The query below a title in the document."""
    return DOCUMENT.read_text("utf-8").split(f"{question}\n")[1].split(";")[0]


@pytest.fixture(scope="module")
def filled(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Facts in one week of ten. No process changes them."""
    with empty_database(server_url) as url:
        make_tables(url)
        warehouse = Warehouse(database_url(url))
        fill(warehouse, tmp_path_factory.mktemp("lake"))
        yield warehouse.engine
        warehouse.close()


def fill(warehouse: Warehouse, lake: Path) -> None:
    """Import a sample."""
    days = {"min_date": date(2013, 12, 2), "max_date": date(2014, 1, 27)}
    apply_plans(warehouse.engine, plan_all(warehouse.engine, **days, days=7, today=date(2014, 1, 1)))
    revisions = Revisions(warehouse, lake)
    for number in (1, 2, 3):
        revisions.put(number, sample_revision(number, lines=2000))
    revisions.put(4, event("signed up", "bob@example.com", t=1388620800))
    change(warehouse.engine, "ANALYZE TABLE events, properties, users, user_map, `keys`")


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_documented_query_scans_a_whole_table(filled: Engine, question: str) -> None:
    found = explained(filled, query(question))
    assert found
    for table in found:
        by_index = table["access_type"] not in {"ALL", "index"}
        assert by_index or len(table["partitions"]) <= MOST_PARTITIONS, table


@pytest.mark.parametrize(
    ("question", "aliases"), [(QUESTIONS[0], {"e"}), (QUESTIONS[1], {"a", "b"}), (QUESTIONS[5], {"e", "p"})]
)
def test_a_documented_query_of_a_span_reads_few_time_partitions_of_each_table(
    filled: Engine, question: str, aliases: set[str]
) -> None:
    found = {table["table_name"]: table["partitions"] for table in explained(filled, query(question))}
    assert found.keys() == aliases
    assert {name: parts for name, parts in found.items() if len(parts) > MOST_PARTITIONS} == {}


@pytest.mark.parametrize("question", QUESTIONS)
def test_docs_each_query_of_the_data_model_returns_rows(filled: Engine, question: str) -> None:
    with filled.connect() as connection:
        answer = connection.exec_driver_sql(query(question)).all()
    assert any(any(row) for row in answer)


def test_docs_every_query_of_the_data_model_is_tested() -> None:
    block = DOCUMENT.read_text("utf-8").split("```sql\n")[1].split("```")[0]
    assert [line for line in block.splitlines() if line.startswith("--")] == QUESTIONS


def test_a_query_of_person_and_time_by_event_uses_a_covering_index(filled: Engine) -> None:
    question = "SELECT e.user_id, e.t, e.id FROM events e WHERE e.n = 1 AND e.t >= '2014-01-01' AND e.t < '2014-01-08'"
    (table,) = explained(filled, question)
    assert table["key"] == "by_name"
    assert table["using_index"]


def test_a_full_table_scan_is_detected(filled: Engine) -> None:
    (table,) = explained(filled, "SELECT e.identity_id FROM events e WHERE e.identity_id = 5")
    assert table["access_type"] == "ALL"
    assert len(table["partitions"]) > MOST_PARTITIONS
