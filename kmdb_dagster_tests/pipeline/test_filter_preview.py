"""The preview of a reload says what the reload then does."""

from pathlib import Path

import pytest

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.lake import Lake
from kmdb_dagster.pipeline import Pipeline, fetch
from kmdb_dagster.pipeline.filter_preview import Preview, Rows, preview_reload
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.loading.filters import read_filters
from kmdb_dagster.warehouse.maintenance.filter_changes import Change, NameList, apply_change
from testing.buckets import FolderOfRevisions, alias, event, property_set
from testing.revisions import change
from testing.steps import load, parse, resolve

LINES = [
    event("came", "anna", plan="pro", price="15"),
    event("went", "bob", plan="pro"),
    event("came", "bob"),
    property_set("bob", sex="m", plan="basic"),
    alias("bob", "anna"),
    b"nonsense\n",
]


@pytest.fixture
def lake(kmdb: Kmdb, bucket: FolderOfRevisions, tmp_path: Path) -> Lake:
    """The lake of two imported revisions; number 3 was never written."""
    for revision in (1, 2):
        bucket.put(revision, *LINES)
    with kmdb.pipeline() as pipeline:
        for revision in (1, 2, 3):
            _import(pipeline, revision)
    return Lake(tmp_path / "lake")


def _import(pipeline: Pipeline, revision: int) -> None:
    for step in (fetch, parse, resolve, load):
        step(pipeline, revision)


def preview(warehouse: Warehouse, lake: Lake, max_read: int = 1000) -> Preview:
    with transaction(warehouse.engine) as connection:
        filters = read_filters(connection)
    return preview_reload(warehouse.engine, lake, filters, max_read)


def put(warehouse: Warehouse, names: NameList, *values: str) -> None:
    apply_change(warehouse.engine, Change(names, add=frozenset(values)))


@pytest.mark.parametrize(
    ("names", "values", "removed"),
    [
        (NameList.IGNORE, ["bob"], Rows(4, 6)),
        (NameList.WHITELIST, ["came"], Rows(2, 2)),
        (NameList.BLACKLIST, ["plan"], Rows(0, 6)),
        (NameList.BLACKLIST, ["nothing has it"], Rows(0, 0)),
    ],
)
def test_a_reload_changes_what_the_preview_says_and_back_again(  # noqa: PLR0917 - fixtures and parameters
    warehouse: Warehouse, lake: Lake, kmdb: Kmdb, names: NameList, values: list[str], removed: Rows
) -> None:
    assert preview(warehouse, lake) == Preview(0, 0, 0, Rows(), Rows())
    before = ledger.totals(warehouse.engine)
    put(warehouse, names, *values)
    assert preview(warehouse, lake) == Preview(2, 2, 0, removed, Rows())
    with kmdb.pipeline() as pipeline:
        load(pipeline, 1)
        load(pipeline, 2)
    after = ledger.totals(warehouse.engine)
    assert Rows(before.events - after.events, before.properties - after.properties) == removed
    assert preview(warehouse, lake).revisions == 0
    apply_change(warehouse.engine, Change(names, remove=frozenset(values)))
    assert preview(warehouse, lake) == Preview(2, 2, 0, Rows(), removed)


def test_of_many_revisions_a_sample_is_read_and_the_rest_is_estimated(warehouse: Warehouse, lake: Lake) -> None:
    put(warehouse, NameList.BLACKLIST, "plan")
    found = preview(warehouse, lake, max_read=1)
    assert found == Preview(2, 1, 0, Rows(0, 6), Rows())
    assert str(found) == (
        "A reload of 2 revisions would remove about 0 events and 6 property values, and add about 0 events and "
        "0 property values. Estimated from 1 revision."
    )


def test_a_revision_without_the_parquet_of_the_loaded_file_is_counted_apart(warehouse: Warehouse, lake: Lake) -> None:
    put(warehouse, NameList.BLACKLIST, "plan")
    lake.parsed(1).unlink()
    assert preview(warehouse, lake).without_parquet == 1
    change(warehouse.engine, "UPDATE revisions SET etag = 'another' WHERE revision = 2")
    assert preview(warehouse, lake) == Preview(2, 0, 2, Rows(), Rows())
