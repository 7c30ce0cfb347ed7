"""Backfills that were started in the UI's own dialog have a title."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph_subset import (  # noqa: TID251 - what the UI's dialog makes
    AssetGraphSubset,
)
from dagster._core.execution.backfill import PartitionBackfill  # noqa: TID251 - the same

from kmdb_dagster.dagster_ext.asset_keys import REVISION_ASSETS
from kmdb_dagster.dagster_ext.partition_registry import PARTITIONS_NAME

FIVE = tuple(key.to_user_string() for key in REVISION_ASSETS)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with the storage of the shipped dagster.yaml."""
    storage = {"module": "kmdb_dagster.dagster_ext.history_storage", "class": "History"}
    config = {"base_dir": str(tmp_path / "history")}
    with dg.instance_for_test({"storage": {"custom": {**storage, "config": config}}}) as made:
        yield made


def add_backfill(
    instance: dg.DagsterInstance, revisions: Sequence[int], assets: Sequence[str] = FIVE, title: str | None = None
) -> str | None:
    """Add a backfill as Dagster's GraphQL mutation does, and return the title that is stored. Its tag says the same."""
    instance.add_dynamic_partitions(PARTITIONS_NAME, [str(revision) for revision in revisions])
    keys = [str(revision) for revision in revisions]
    subset = dg.DynamicPartitionsDefinition(name=PARTITIONS_NAME).empty_subset().with_partition_keys(keys)
    backfill = PartitionBackfill.from_asset_graph_subset(
        backfill_id="a",
        backfill_timestamp=0.0,
        tags={},
        dynamic_partitions_store=instance,
        asset_graph_subset=AssetGraphSubset(  # type: ignore[call-arg]  # its decorator hides the defaults from mypy
            partitions_subsets_by_asset_key=dict.fromkeys(map(dg.AssetKey, assets), subset)
        ),
        title=title,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    stored = instance.get_backfill("a")
    assert stored
    assert stored.tags == ({"kmdb/asked": stored.title.partition(":")[0].replace(" ", "_")} if stored.title else {})
    return stored.title


def test_a_backfill_without_a_title_is_named_after_its_revisions(history: dg.DagsterInstance) -> None:
    assert add_backfill(history, [4, 1, 2, 3]) == "revisions 1..4"


def test_its_title_names_the_assets_if_they_are_not_all(history: dg.DagsterInstance) -> None:
    assert add_backfill(history, [7], ["events", "user_map"]) == "revision 7 of user_map, events"


def test_a_title_of_scattered_revisions_is_as_short_as_dagster_demands(history: dg.DagsterInstance) -> None:
    scattered = range(1_000_000, 1_000_100, 2)
    title = add_backfill(history, scattered, FIVE[:4])
    assert title
    assert title.startswith("revisions 1000000, 1000002, 1000004, … of raw_revisions")
    assert len(title) <= 100


def test_a_title_that_was_given_is_kept(history: dg.DagsterInstance) -> None:
    assert add_backfill(history, [1], title="outstanding revisions: 1") == "outstanding revisions: 1"


def test_a_backfill_of_other_assets_gets_no_title(history: dg.DagsterInstance) -> None:
    assert add_backfill(history, [1], ["another"]) is None
