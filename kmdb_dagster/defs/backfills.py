"""A range of revisions, asked for in two numbers, as a real backfill: with its page, progress bar and cancel button.

The UI has no range entry for dynamic partitions, and Dagster 1.13 no public call that starts a backfill (its GraphQL
mutation needs the address of a webserver). So this module, and no other, uses three private names of Dagster's:
docs/decisions/0003-typed-ranges.md. `test_backfills` runs one for real.
"""

import time
import uuid

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import (  # noqa: TID251 - see above
    AssetGraphSubset,
)
from dagster._core.execution.backfill import PartitionBackfill  # noqa: TID251 - see above

from kmdb_dagster.defs.assets import KEYS
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.revisions import REVISIONS, register, registered
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.pipeline.watch import look_everywhere


def request_range(instance: dg.DagsterInstance, kmdb: Kmdb, first: int, last: int) -> str:
    """Ask Dagster to import the revisions ``first`` to ``last``, whether they are in already or not.

    Returns:
        The backfill's id.

    Raises:
        PermanentError: the range is the wrong way round, or reaches beyond what the bucket has.
    """
    settings = kmdb.settings()
    if first > last:
        raise PermanentError(f"The range {first}..{last} is the wrong way round. Give the lower number first.")
    seen = look_everywhere(kmdb.bucket(), settings.min_revision).etags
    known = registered(instance)
    reach = [*seen, *known]
    if not reach or first < min(reach) or last > max(reach):
        there = f"revisions {min(reach)} to {max(reach)}" if reach else "no revisions at all"
        raise PermanentError(f"The range {first}..{last} reaches beyond the bucket, which has {there}.")
    with kmdb.warehouse() as warehouse:
        register(instance, warehouse, min(reach), max(reach))
    return _add_backfill(instance, first, last)


def _add_backfill(instance: dg.DagsterInstance, first: int, last: int) -> str:
    keys = [str(revision) for revision in range(first, last + 1)]
    subset = REVISIONS.empty_subset().with_partition_keys(keys)
    backfill = PartitionBackfill.from_asset_graph_subset(
        backfill_id=uuid.uuid4().hex[:8],
        backfill_timestamp=time.time(),
        tags={"kmdb/range": f"{first}..{last}"},
        dynamic_partitions_store=instance,
        asset_graph_subset=AssetGraphSubset(  # type: ignore[call-arg]  # its decorator hides the defaults from mypy
            partitions_subsets_by_asset_key=dict.fromkeys(KEYS, subset)
        ),
        title=f"revisions {first}..{last}",
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    return str(backfill.backfill_id)
