"""A range of revisions, asked for in two numbers, as a real backfill: with its page, progress bar and cancel button.

The UI has no range entry for dynamic partitions, and Dagster 1.13 no public call that starts a backfill (its GraphQL
mutation needs the address of a webserver). So this module, and no other, uses three private names of Dagster's:
docs/decisions/0003-typed-ranges.md. `test_backfills` runs one for real.
"""

import time
import uuid
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import (  # noqa: TID251 - see above
    AssetGraphSubset,
)
from dagster._core.execution.backfill import PartitionBackfill  # noqa: TID251 - see above

from kmdb_dagster.dagster_ext.asset_keys import REVISION_ASSETS
from kmdb_dagster.dagster_ext.partition_registry import PARTITIONS_NAME, register, registered
from kmdb_dagster.dagster_ext.run_ranges import waiting
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.pipeline.bucket_scan import BucketScan, changed, list_bucket, never_attempted
from kmdb_dagster.settings import Settings
from kmdb_dagster.source import Bucket
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.bindings import check_bucket
from kmdb_dagster.warehouse.ledger import ledger


class Opener(Protocol):
    """Opens the bucket and the warehouse: the resource `kmdb` (defs/resources.py)."""

    def settings(self) -> Settings:
        """Read the settings."""

    def bucket(self) -> Bucket:
        """Open the bucket."""

    def warehouse(self, *, whole_tables: bool = True) -> AbstractContextManager[Warehouse]:
        """Open the warehouse; statements that read whole tables may take hours."""


class Asked(NamedTuple):
    """A backfill that was asked for. ``id`` is empty if there was nothing to ask for."""

    id: str
    revisions: list[int]


def request_range(instance: dg.DagsterInstance, kmdb: Opener, first: int, last: int) -> Asked:
    """Ask Dagster to import the revisions ``first`` to ``last``, whether they are in already or not.

    Raises:
        PermanentError: the range is the wrong way round, or reaches beyond what the bucket has.
    """
    if first > last:
        raise PermanentError(f"The range {first}..{last} is the wrong way round. Give the lower number first.")
    seen = _look(kmdb)
    reach = [*seen.etags, *registered(instance)]
    if not reach or first < min(reach) or last > max(reach):
        there = f"revisions {min(reach)} to {max(reach)}" if reach else "no revisions at all"
        raise PermanentError(f"The range {first}..{last} reaches beyond the bucket, which has {there}.")
    with kmdb.warehouse(whole_tables=False) as warehouse:
        register(instance, warehouse, min(reach), max(reach))
    return _add_backfill(instance, list(range(first, last + 1)), f"revisions {first}..{last}")


def request_new(instance: dg.DagsterInstance, kmdb: Opener) -> Asked:
    """Ask Dagster to import what is neither in nor under way: new, changed and failed revisions."""
    seen = _look(kmdb)
    with kmdb.warehouse(whole_tables=False) as warehouse:
        if seen.etags:
            register(instance, warehouse, min(seen.etags), max(seen.etags))
        statuses = ledger.statuses(warehouse.engine)
    failed = [status.revision for status in statuses.values() if status.failed]
    new = {*never_attempted(registered(instance), statuses, ()), *changed(seen, statuses), *failed}
    new -= waiting(instance).revisions
    return _add_backfill(instance, sorted(new), "new revisions") if new else Asked("", [])


def outcome_of(instance: dg.DagsterInstance, backfill: str) -> str | None:
    """How a backfill ended, as Dagster names it (``COMPLETED_SUCCESS`` …); None while it goes on."""
    found = instance.get_backfill(backfill)
    status = found.status.value if found else "GONE"
    return None if status in {"REQUESTED", "CANCELING", "FAILING"} else str(status)


def _look(kmdb: Opener) -> BucketScan:
    bucket = kmdb.bucket()
    with kmdb.warehouse() as warehouse:
        check_bucket(warehouse.engine, bucket.location)
    return list_bucket(bucket, kmdb.settings().min_revision)


def _add_backfill(instance: dg.DagsterInstance, revisions: list[int], title: str) -> Asked:
    partitions = dg.DynamicPartitionsDefinition(name=PARTITIONS_NAME)
    subset = partitions.empty_subset().with_partition_keys([str(revision) for revision in revisions])
    backfill = PartitionBackfill.from_asset_graph_subset(
        backfill_id=uuid.uuid4().hex[:8],
        backfill_timestamp=time.time(),
        tags={"kmdb/asked": title.replace(" ", "_")},
        dynamic_partitions_store=instance,
        asset_graph_subset=AssetGraphSubset(  # type: ignore[call-arg]  # its decorator hides the defaults from mypy
            partitions_subsets_by_asset_key=dict.fromkeys(REVISION_ASSETS, subset)
        ),
        title=title,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    return Asked(str(backfill.backfill_id), revisions)
