"""Revisions without alias lines are resolved without a lock on the map, whatever another process does meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from kmdb_dagster.retries import retry_transient
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from testing.buckets import alias, event
from testing.revisions import Revisions, at_the_statement, one, people, rows

WITH, WITHOUT = [event("came", "a"), alias("a", "b")], [event("came", "a"), event("came", "b")]


def test_revisions_without_alias_lines_are_resolved_while_the_map_is_locked(
    engine: Engine, revisions: Revisions
) -> None:
    with engine.begin() as merging:
        merging.exec_driver_sql("SELECT * FROM map_state FOR UPDATE")
        for line in (b"", b"\n"):
            assert revisions.resolve(1, event("came", "a"), line) == (0, 0)
            revisions.resolve(2, line)
    assert rows(engine, "SELECT revision, t_min FROM resolved_revisions") == [(1, None), (2, None)]


@pytest.fixture
def other(database: str, tmp_path: Path) -> Iterator[Revisions]:
    """Another process that resolves the same revision."""
    warehouse, folder = Warehouse(database_url(database)), tmp_path / "other"
    folder.mkdir()
    yield Revisions(warehouse, folder)
    warehouse.close()


@pytest.mark.parametrize("before", [[], WITHOUT, WITH], ids=["never resolved", "without aliases", "with aliases"])
@pytest.mark.parametrize(
    ("one_file", "other_file", "statement"),
    [
        (WITHOUT, WITH, "INSERT INTO resolved_revisions"),
        (WITHOUT, WITH, "SELECT revision, etag, t_min, t_max FROM resolved_revisions"),
        (WITH, WITHOUT, "SELECT version FROM map_state"),
        (WITH, WITHOUT, "REPLACE INTO resolved_revisions"),
        (WITH, WITHOUT, "INSERT INTO aliases"),
    ],
)
def test_a_revision_that_two_processes_resolve_from_two_files_ends_with_the_aliases_of_one_of_them(
    warehouse: Warehouse,
    revisions: Revisions,
    other: Revisions,
    *,
    before: list[bytes],
    one_file: list[bytes],
    other_file: list[bytes],
    statement: str,
) -> None:
    if before:
        revisions.resolve(1, *before, event("went", "a"))
    with at_the_statement(warehouse.engine, statement, lambda: retry_transient(other.resolve)(1, *other_file)):
        retry_transient(revisions.resolve)(1, *one_file)
    stored = one(warehouse.engine, "SELECT COUNT(*) FROM aliases")
    assert rows(warehouse.engine, "SELECT t_min IS NOT NULL FROM resolved_revisions") == [(stored,)]
    found = people(warehouse.engine)
    assert (found["a"] == found["b"]) == bool(stored)


@pytest.mark.parametrize("lines", [WITHOUT, [*WITHOUT, event("went", "a")]])
def test_alias_lines_whose_record_was_edited_by_hand_are_removed_by_a_file_without_any(
    engine: Engine, revisions: Revisions, lines: list[bytes]
) -> None:
    revisions.resolve(1, *WITH)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE resolved_revisions SET t_min = NULL, t_max = NULL")
    revisions.resolve(1, *lines)
    assert one(engine, "SELECT COUNT(*) FROM aliases") == 0
    assert people(engine) == {"a": "a", "b": "b"}
