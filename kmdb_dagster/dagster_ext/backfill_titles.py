"""Gives a title to each backfill that has none, such as those of **Materialize…** in the UI.

Dagster's dialog has no field for a title. Its list of backfills shows tags, and no titles, so the title becomes a tag
too. `History` applies this to its run storage. `PartitionBackfill` is not public.
"""

from typing import Any

from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.storage.runs import RunStorage

from kmdb_dagster.dagster_ext.asset_keys import REVISION_ASSETS
from kmdb_dagster.km_export.layout import describe_ranges
from kmdb_dagster.wording import named_ranges, shorten

MAX_RANGES_IN_TITLE = 3
MAX_TITLE_LENGTH = 100
"""Dagster refuses a longer one."""

ASKED = "kmdb/asked"
"""The tag of a backfill, and of its runs, that says what was asked for."""


def give_titles(storage: RunStorage[Any]) -> None:
    """Replace the method of a run storage that adds a backfill."""
    add = storage.add_backfill

    def add_backfill(partition_backfill: PartitionBackfill) -> None:
        title = partition_backfill.title or title_of(partition_backfill)
        tags = {**tags_of(title), **partition_backfill.tags}
        add(partition_backfill._replace(title=title, tags=tags))

    storage.add_backfill = add_backfill  # type: ignore[method-assign]


def tags_of(title: str | None) -> dict[str, str]:
    """Return the tag that shows a title in the list of backfills, up to its colon."""
    return {ASKED: title.partition(":")[0].replace(" ", "_")} if title else {}


def title_of(backfill: PartitionBackfill) -> str | None:
    """Name the revisions of a backfill, and its assets if they are not all five; None if it is not about revisions."""
    data = backfill.asset_backfill_data
    targets = data.target_subset.partitions_subsets_by_asset_key if data else {}
    assets = [key for key in REVISION_ASSETS if key in targets]
    keys = {key for asset in assets for key in targets[asset].get_partition_keys()}
    revisions = [int(key) for key in keys if key.isdecimal()]
    if not revisions:
        return None
    title = named_ranges(describe_ranges(revisions, MAX_RANGES_IN_TITLE))
    if len(assets) < len(REVISION_ASSETS):
        title += f" of {', '.join(key.to_user_string() for key in assets)}"
    return shorten(title, MAX_TITLE_LENGTH)
