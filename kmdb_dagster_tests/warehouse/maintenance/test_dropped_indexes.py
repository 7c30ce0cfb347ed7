"""Importing without indexes and building them afterwards gives the same tables."""

from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine

from kmdb_dagster.digest import digest
from kmdb_dagster.erasure.erase import erase_people
from kmdb_dagster.erasure.requests import request_erasure
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.checks import Misplaced, misplaced_facts
from kmdb_dagster.warehouse.identity.rebuild import realias
from kmdb_dagster.warehouse.identity.user_map import move_facts
from kmdb_dagster.warehouse.maintenance import indexes
from testing.buckets import alias, event, property_set
from testing.databases import empty_tables
from testing.revisions import Revisions, change, content, rows

HISTORY = {
    1: [event("came", "cookie", plan="pro"), property_set("cookie", sex="f"), event("came", "bob")],
    2: [alias("cookie", "bob"), event("paid", "bob", amount="3")],
    3: [alias("bob", "7"), event("came", "7")],
}


def put(warehouse: Warehouse, revisions: Revisions) -> None:
    """Import the history again."""
    empty_tables(warehouse.engine)
    for number, lines in HISTORY.items():
        revisions.put(number, *lines)


def schema(engine: Engine) -> list[tuple[object, ...]]:
    """The columns of each index of the two tables."""
    return rows(
        engine,
        "SELECT TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME FROM INFORMATION_SCHEMA.STATISTICS "
        "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ('events', 'properties') ORDER BY 1, 2, 3",
    )


def test_pending_moves_are_applied_after_the_indexes_are_built(warehouse: Warehouse, revisions: Revisions) -> None:
    engine = warehouse.engine
    put(warehouse, revisions)
    expected, made = content(engine), schema(engine)
    assert not indexes.is_any_index_missing(engine)
    assert len(indexes.drop(engine)) == 2
    assert indexes.is_any_index_missing(engine)
    put(warehouse, revisions)
    assert misplaced_facts(engine) == Misplaced(rows=0, waiting=6, spans=0)
    # A rebuild of the whole map does not either.
    assert realias(engine, warehouse.generation()).moved == 0
    assert misplaced_facts(engine).rows == 0
    assert misplaced_facts(engine).waiting == 6
    assert len(indexes.build(engine)) == 2
    assert move_facts(engine) == 3
    assert content(engine) == expected
    assert schema(engine) == made


def test_an_interrupted_build_of_indexes_completes_when_run_again(database: str) -> None:
    warehouse = Warehouse(database_url(database))
    engine, made = warehouse.engine, schema(warehouse.engine)
    assert indexes.build(engine) == []
    change(engine, "ALTER TABLE properties DROP KEY by_key")
    (built,) = indexes.build(engine)
    assert "by_user" not in built
    assert schema(engine) == made
    indexes.drop(engine)
    assert indexes.drop(engine) == []
    indexes.build(engine)
    warehouse.close()


def test_an_erasure_without_indexes_completes_after_they_are_built(
    warehouse: Warehouse, revisions: Revisions, tmp_path: Path
) -> None:
    forget = partial(erase_people, warehouse, Lake(tmp_path / "lake"), numeric_apart=False, most_identities=None)
    put(warehouse, revisions)
    indexes.drop(warehouse.engine)
    request_erasure(warehouse.engine, [digest("bob")])
    with pytest.raises(PermanentError, match=r"run `kmdb index build`.* Then run `kmdb forget --finish`"):
        forget()
    revisions.put(4, event("came", "bob"), event("came", "anna"))
    indexes.build(warehouse.engine)
    move_facts(warehouse.engine)
    assert forget().identities == 3
    assert {row[-1] for row in content(warehouse.engine)["events"]} == {"anna"}


@pytest.mark.parametrize("table", indexes.INDEXES)
def test_every_secondary_index_of_the_migrations_is_listed(engine: Engine, table: str) -> None:
    made = {name for _, _, name, *_ in rows(engine, f"SHOW INDEX FROM {table}")}
    assert made == {"PRIMARY", *indexes.INDEXES[table]}
