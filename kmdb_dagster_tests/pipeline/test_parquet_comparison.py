"""The comparison of facts with the Parquet, and of ids with names."""

from pathlib import Path

import pytest

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.lake import Lake
from kmdb_dagster.pipeline.parquet_comparison import Comparison, compare_with_parquet
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.interning.checks import WrongIds, wrong_ids
from kmdb_dagster.warehouse.interning.interning import intern_identities, intern_keys
from testing.buckets import FolderOfRevisions, event, line, property_set
from testing.revisions import change
from testing.steps import fetch, load, parse, resolve

LINES = [
    b"\n",
    event("came", "anna", plan="pro", price="15"),
    property_set("bob", 253402300799, sex="m"),
    line({"_n": "both", "_p": "anna", "_p2": "bob", "_t": 1, "empty": None}),
    event("ignored", "carl"),
    b"nonsense\n",
]
ROWS = 6
"""Two events, and four properties."""


@pytest.fixture
def lake(kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse, tmp_path: Path) -> Lake:
    """The lake of two imported revisions; number 3 was never written."""
    change(warehouse.engine, "INSERT INTO ignored_users (name) VALUES ('carl')")
    with kmdb.pipeline() as pipeline:
        for revision in (1, 2, 3):
            if revision < 3:
                bucket.put(revision, *LINES)
            for step in (fetch, parse, resolve, load):
                step(pipeline, revision)
    return Lake(tmp_path / "lake")


def test_facts_that_were_imported_agree_with_the_parquet(warehouse: Warehouse, lake: Lake) -> None:
    assert compare_with_parquet(warehouse.engine, lake, 1000) == Comparison(2 * ROWS, {}, 2, 0)


@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        ("UPDATE events SET n = (SELECT id FROM `keys` WHERE string = 'plan') LIMIT 1", {1: 1}),
        ("UPDATE events SET identity_id = 3 - identity_id WHERE id >> 40 = 2", {2: 2}),
        ("UPDATE properties SET value = 'x' WHERE event_id IS NULL", {1: 1, 2: 1}),
        ("UPDATE properties SET event_id = event_id + 1 WHERE id >> 40 = 1 AND event_id IS NOT NULL", {1: 3}),
        ("UPDATE users a JOIN users b ON a.name = 'anna' AND b.name = 'bob' SET b.name = 'ann'", {1: 1, 2: 1}),
        ("DELETE FROM `keys` WHERE string = 'came'", {1: 1, 2: 1}),
        ("UPDATE properties SET id = id + 5 WHERE id >> 40 = 1 ORDER BY id DESC LIMIT 1", {1: 1}),
    ],
)
def test_facts_that_differ_from_the_parquet_are_counted_by_revision(
    warehouse: Warehouse, lake: Lake, statement: str, wrong: dict[int, int]
) -> None:
    change(warehouse.engine, statement)
    assert compare_with_parquet(warehouse.engine, lake, 1000) == Comparison(2 * ROWS, wrong, 2, 0)


def test_a_sample_has_the_requested_size_and_covers_every_line_over_time(
    warehouse: Warehouse, lake: Lake, bucket: FolderOfRevisions, kmdb: Kmdb
) -> None:
    bucket.put(1, *(event("came", f"user{number}", t=number) for number in range(1, 101)))
    bucket.put(2)
    with kmdb.pipeline() as pipeline:
        for revision in (1, 2):
            for step in (fetch, parse, resolve, load):
                step(pipeline, revision)
    assert compare_with_parquet(warehouse.engine, lake, 25) == Comparison(25, {}, 1, 0)
    change(warehouse.engine, "UPDATE events SET t = t + INTERVAL 1 SECOND WHERE id >> 16 & 3 = 1")
    found = {sum(compare_with_parquet(warehouse.engine, lake, 25).wrong.values()) for _ in range(100)}
    assert found == {0, 25}


@pytest.mark.parametrize("gone", ["deleted", "damaged", "of another version"])
def test_revisions_without_their_parquet_are_counted_and_not_compared(
    warehouse: Warehouse, lake: Lake, bucket: FolderOfRevisions, kmdb: Kmdb, gone: str
) -> None:
    path = lake.parsed(1)
    if gone == "deleted":
        path.unlink()
    elif gone == "damaged":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        bucket.put(1, event("went"))
        with kmdb.pipeline() as pipeline:
            fetch(pipeline, 1)
            parse(pipeline, 1)
    assert compare_with_parquet(warehouse.engine, lake, 1000) == Comparison(ROWS, {}, 1, 1)


@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        ("DO 0", WrongIds(keys=0, users=0)),
        ("UPDATE users SET name = 'Anna' WHERE name = 'anna'", WrongIds(keys=0, users=1)),
        ("UPDATE `keys` SET string = 'came ' WHERE string = 'came'", WrongIds(keys=1, users=0)),
    ],
)
def test_ids_of_other_names_are_counted(warehouse: Warehouse, statement: str, wrong: WrongIds) -> None:
    intern_identities(warehouse.engine, ["anna", "bob", "\U0001f600", "böb", ""])
    intern_keys(warehouse.engine, ["came", "plan", "ä "])
    change(warehouse.engine, statement)
    assert wrong_ids(warehouse.engine) == wrong
