"""What failed is repaired from any asset: a step makes the input that is missing."""

import dagster as dg
import pytest

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from testing.buckets import FolderOfRevisions, event
from testing.runs import failure_of, import_range

FIVE = ("raw_revisions", "parsed_events", "user_map", "events", "properties")


@pytest.fixture
def failed(instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions) -> None:
    """Revision 1 is imported. Revision 2 failed, because it was a web server's error page, and is good now."""
    bucket.put(1, event("visited site"))
    bucket.put(2, b"<html><h1>503 Service Unavailable</h1></html>\n" * 200)
    assert "No line of revision 2 can be imported" in failure_of(import_range(instance, kmdb, 1, 2))
    bucket.put(2, event("visited site"))


@pytest.mark.usefixtures("failed")
@pytest.mark.parametrize("asset", ["events", "properties"])
def test_the_facts_of_a_revision_that_failed_are_made_from_the_file_in_the_bucket(
    instance: dg.DagsterInstance, kmdb: Kmdb, warehouse: Warehouse, asset: str
) -> None:
    result = import_range(instance, kmdb, 2, 2, only=[asset])
    assert result.success
    assert ledger.failures(warehouse.engine) == []
    for made in FIVE:
        assert instance.get_materialized_partitions(dg.AssetKey(made)) == {"1", "2"}
    assert ledger.totals(warehouse.engine).events == 2


@pytest.mark.usefixtures("failed")
def test_the_user_map_of_a_revision_that_failed_is_made_without_its_facts(
    instance: dg.DagsterInstance, kmdb: Kmdb
) -> None:
    assert import_range(instance, kmdb, 2, 2, only=["user_map"]).success
    for made in ("raw_revisions", "parsed_events", "user_map"):
        assert instance.get_materialized_partitions(dg.AssetKey(made)) == {"1", "2"}
    assert instance.get_materialized_partitions(dg.AssetKey("events")) == {"1"}


@pytest.mark.usefixtures("failed")
def test_a_copy_that_cannot_be_parsed_is_fetched_again_if_it_was_replaced_in_the_bucket(
    instance: dg.DagsterInstance, kmdb: Kmdb
) -> None:
    assert import_range(instance, kmdb, 2, 2, only=["parsed_events"]).success
    assert import_range(instance, kmdb, 2, 2, only=["events"]).success


def test_a_copy_that_cannot_be_parsed_and_is_still_in_the_bucket_fails_again(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions
) -> None:
    bucket.put(1, b"<html>\n" * 200)
    import_range(instance, kmdb, 1, 1)
    result = import_range(instance, kmdb, 1, 1, only=["parsed_events"])
    assert "No line of revision 1 can be imported" in failure_of(result)


def test_a_revision_that_was_never_fetched_is_fetched_before_it_is_parsed(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions
) -> None:
    bucket.put(1, event("visited site"))
    assert import_range(instance, kmdb, 1, 1, only=["parsed_events"]).success
    assert instance.get_materialized_partitions(dg.AssetKey("raw_revisions")) == {"1"}
