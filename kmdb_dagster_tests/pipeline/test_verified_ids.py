"""No row is committed with an id that does not belong to its name, whatever commits the server lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import Engine, text

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake
from kmdb_dagster.pipeline import Pipeline
from kmdb_dagster.settings import database_url
from kmdb_dagster.source import Bucket
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.maintenance.flush import EMPTIED, flush
from testing.buckets import FolderOfRevisions, alias, event, property_set
from testing.databases import new_warehouse
from testing.revisions import change, content, misplaced, one, rows
from testing.steps import fetch, load, parse, resolve
from testing.workers import parse as parse_lines

BEFORE = [event("came", "zoe", plan="free"), alias("zoe", "yves")]
LINES = {
    2: [event("bought", "alice", price="15"), alias("alice", "al"), property_set("bob", sex="m")],
    3: [event("refunded", "carol", price="9"), event("bought", "bob", price="3"), alias("bob", "carol")],
    4: [event("bought", "al", price="1"), alias("al", "7")],
}
OTHERS = [
    event("cancelled", "dave", reason="late"),
    event("complained", "erin", price="1"),
    alias("dave", "erin"),
    alias("frank", "grace"),
    alias("heidi", "ivan"),
]
STEPS = [(resolve, 2), (resolve, 3), (load, 2), (resolve, 4), (load, 3), (load, 4)]
"""The steps in the order of a run: revisions are resolved before they are loaded."""


def opened(warehouse: Warehouse, lake: Path) -> Pipeline:
    """The steps of a run on a lake."""
    bucket = Mock(spec=Bucket)
    return Pipeline(
        bucket, Lake(lake), warehouse, batch_size=100, keep_files=False, max_rejected_share=1, numeric_apart=False
    )


def put(pipeline: Pipeline, lake: Path, revision: int, lines: list[bytes]) -> None:
    """Resolve and load a revision of these lines."""
    parse_lines(lake, revision, lines)
    resolve(pipeline, revision)
    load(pipeline, revision)


@contextmanager
def lost_commits(engine: Engine) -> Iterator[None]:
    """What is committed while the block lasts is lost at its end. The server then hands out the same ids again."""
    with engine.begin() as connection:
        for table in EMPTIED:
            connection.exec_driver_sql(f"CREATE TABLE `saved_{table}` AS SELECT * FROM `{table}`")  # noqa: S608 - ours
        state = connection.execute(text("SELECT version FROM map_state")).scalar_one()
    yield
    with engine.begin() as connection:
        connection.execute(text("UPDATE map_state SET version = :version"), {"version": state})
        for table in EMPTIED:
            connection.exec_driver_sql(f"DELETE FROM `{table}`")  # noqa: S608 - ours
            connection.exec_driver_sql(f"INSERT INTO `{table}` SELECT * FROM `saved_{table}`")  # noqa: S608 - ours
            connection.exec_driver_sql(f"DROP TABLE `saved_{table}`")
        for table in ("users", "`keys`", "pending_moves"):
            connection.exec_driver_sql(f"ALTER TABLE {table} AUTO_INCREMENT = 1")


@pytest.fixture(scope="module")
def expected(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What is in after an import that nothing disturbed."""
    lake = tmp_path_factory.mktemp("plain")
    with new_warehouse(server_url) as warehouse:
        pipeline = opened(warehouse, lake)
        for revision, lines in {1: BEFORE, **LINES, 9: OTHERS}.items():
            put(pipeline, lake, revision, lines)
        return content(warehouse.engine)


@pytest.mark.parametrize(
    "moment", [(kept, lost) for kept, lost in product(range(6), range(1, 7)) if kept < lost], ids=str
)
def test_a_run_that_survives_lost_commits_stores_no_fact_under_a_wrong_name(
    database: str, warehouse: Warehouse, tmp_path: Path, expected: dict[str, object], moment: tuple[int, int]
) -> None:
    kept, lost = moment
    run, other = opened(warehouse, tmp_path), opened(Warehouse(database_url(database)), tmp_path)
    put(run, tmp_path, 1, BEFORE)
    for revision, lines in LINES.items():
        parse_lines(tmp_path, revision, lines)
    for step, revision in STEPS[:kept]:
        step(run, revision)
    with lost_commits(warehouse.engine):
        for step, revision in STEPS[kept:lost]:
            step(run, revision)
    put(other, tmp_path, 9, OTHERS)
    for step, revision in STEPS[lost:]:
        step(run, revision)
    # What the ledger lacks is asked for again by the sensor.
    for revision in LINES.keys() - ledger.statuses(warehouse.engine).keys():
        put(other, tmp_path, revision, LINES[revision])
    assert content(warehouse.engine) == expected
    assert misplaced(warehouse.engine) == 0
    other.warehouse.close()


V1, V2 = [event("came", "alice"), alias("alice", "bob")], [event("went", "alice"), alias("alice", "carol")]
ALIAS_NAMES = "SELECT name1, name2 FROM aliases"


def test_a_load_resolves_its_file_if_another_version_was_resolved(
    kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    engine = warehouse.engine
    with kmdb.pipeline() as pipeline:
        bucket.put(1, *V1)
        for step in (fetch, parse, resolve, load):
            step(pipeline, 1)
        assert rows(engine, ALIAS_NAMES) == [("alice", "bob")]
        bucket.put(1, *V2)
        fetch(pipeline, 1)
        parse(pipeline, 1)
        # As a run that was killed here leaves it. Then an operator materializes events and properties alone.
        assert load(pipeline, 1)["events"] == 1
    assert rows(engine, ALIAS_NAMES) == [("alice", "carol")]
    assert rows(engine, "SELECT etag FROM resolved_revisions") == rows(engine, "SELECT etag FROM revisions")


def test_a_load_resolves_an_unresolved_revision(kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse) -> None:
    bucket.put(1, *V1)
    with kmdb.pipeline() as pipeline:
        for revision in (1, 2):
            for step in (fetch, parse, load):
                step(pipeline, revision)
    assert rows(warehouse.engine, ALIAS_NAMES) == [("alice", "bob")]
    assert rows(warehouse.engine, "SELECT revision, etag IS NULL FROM resolved_revisions") == [(1, 0), (2, 1)]


def test_revisions_that_were_resolved_before_a_flush_are_loaded_after_it(
    kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    with kmdb.pipeline() as pipeline:
        for revision, lines in LINES.items():
            bucket.put(revision, *lines)
            for step in (fetch, parse, resolve):
                step(pipeline, revision)
        flush(warehouse.engine)
        for revision in LINES:
            load(pipeline, revision)
        before = content(warehouse.engine)
        flush(warehouse.engine)
        for revision in LINES:
            for step in (fetch, parse, resolve, load):
                step(pipeline, revision)
    assert content(warehouse.engine) == before
    assert one(warehouse.engine, "SELECT COUNT(*) FROM events") == 4


@pytest.mark.parametrize(
    ("lines", "statements"),
    [
        (V1[:1], ["DELETE FROM users", "DELETE FROM user_map"]),
        (V1, ["DELETE FROM `keys`"]),
        (V1, ["DELETE FROM aliases"]),
        (V1, ["DELETE FROM aliases", "DELETE FROM resolved_revisions"]),
    ],
)
def test_a_load_restores_rows_that_were_deleted_by_hand(
    kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse, lines: list[bytes], statements: list[str]
) -> None:
    bucket.put(1, *lines)
    with kmdb.pipeline() as pipeline:
        for step in (fetch, parse, resolve, load):
            step(pipeline, 1)
        before = content(warehouse.engine)
        change(warehouse.engine, *statements)
        load(pipeline, 1)
    assert content(warehouse.engine) == before


def test_a_load_whose_names_disappear_each_time_is_a_permanent_error(
    kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(1, *V1)
    with kmdb.pipeline() as pipeline:
        for step in (fetch, parse):
            step(pipeline, 1)
        monkeypatch.setattr("kmdb_dagster.pipeline.steps.resolve_revisions", Mock())
        with pytest.raises(PermanentError, match="Revision 1 was resolved 4 times, and its names or aliases were miss"):
            load(pipeline, 1)
    assert one(warehouse.engine, "SELECT COUNT(*) FROM events") == 0
