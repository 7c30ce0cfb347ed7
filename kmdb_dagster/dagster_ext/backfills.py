"""Requests backfills: over a range of revisions, everything outstanding, or what was loaded with other filters.

Dagster 1.13 has no public call that starts a backfill: its GraphQL mutation needs the address of a webserver
(docs/decisions/0003-typed-ranges.md).
"""

import time
import uuid
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import (
    AssetGraphSubset,
)
from dagster._core.execution.backfill import PartitionBackfill

from kmdb_dagster.dagster_ext.asset_keys import EVENTS, PROPERTIES, REVISION_ASSETS
from kmdb_dagster.dagster_ext.backfill_titles import MAX_RANGES_IN_TITLE, tags_of
from kmdb_dagster.dagster_ext.partition_registry import PARTITIONS_NAME, register, registered
from kmdb_dagster.dagster_ext.run_ranges import BACKFILL, active_imports
from kmdb_dagster.errors import RequestError
from kmdb_dagster.km_export.layout import describe_ranges
from kmdb_dagster.pipeline.bucket_scan import BucketScan, list_bucket
from kmdb_dagster.pipeline.outstanding import bridged_ranges, find_outstanding
from kmdb_dagster.settings import Settings
from kmdb_dagster.source import Bucket
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.bindings import check_bucket
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.ledger.loaded_filters import loaded_with
from kmdb_dagster.warehouse.loading.filters import read_filters
from kmdb_dagster.wording import named_range


class Opener(Protocol):
    """Opens the bucket and the warehouse: the resource `kmdb` (defs/resources.py)."""

    def settings(self) -> Settings:
        """Read the settings."""

    def bucket(self) -> Bucket:
        """Open the bucket."""

    def warehouse(self, *, whole_tables: bool = True) -> AbstractContextManager[Warehouse]:
        """Open the warehouse; statements that read whole tables may take hours."""


class RequestedBackfill(NamedTuple):
    """A backfill that was requested. ``id`` is empty if there was nothing to import."""

    id: str
    revisions: list[int]
    """Those that were asked for. It may repeat others between them."""


def request_range(instance: dg.DagsterInstance, kmdb: Opener, first: int, last: int) -> RequestedBackfill:
    """Request a backfill over the revisions ``first`` to ``last``, also over those that are imported already.

    Args:
        instance: Dagster's instance, in which the backfill is stored.
        kmdb: opens the bucket and the warehouse.
        first: the lowest revision, inclusive.
        last: the highest revision, inclusive.

    Raises:
        RequestError: ``first`` is above ``last``, or the bucket does not have the range.
    """
    if first > last:
        raise RequestError(f"The range {first}..{last} is the wrong way round. Give the lower number first.")
    scan = _scan_bucket(kmdb)
    known = [*scan.etags, *registered(instance)]
    if not known or first < min(known) or last > max(known):
        there = f"revisions {min(known)} to {max(known)}" if known else "no revisions at all"
        raise RequestError(f"The range {first}..{last} reaches beyond the bucket, which has {there}.")
    with kmdb.warehouse(whole_tables=False) as warehouse:
        register(instance, warehouse, min(known), max(known))
    return _add_backfill(instance, list(range(first, last + 1)), named_range(first, last))


def request_outstanding(instance: dg.DagsterInstance, kmdb: Opener) -> RequestedBackfill:
    """Request a backfill over outstanding revisions (new, changed or failed), except those of active runs.

    Small holes between them are imported again, so that few runs take many scattered revisions.
    """
    scan = _scan_bucket(kmdb)
    with kmdb.warehouse(whole_tables=False) as warehouse:
        if scan.etags:
            register(instance, warehouse, min(scan.etags), max(scan.etags))
        statuses = ledger.statuses(warehouse.engine)
        outstanding = find_outstanding(warehouse.engine, scan, registered(instance), statuses)
    under_way = active_imports(instance).under_way
    wanted = sorted(outstanding.all() - under_way)
    if not wanted:
        return RequestedBackfill("", [])
    title = f"outstanding revisions: {describe_ranges(wanted, MAX_RANGES_IN_TITLE)}"
    ranges = bridged_ranges(wanted, statuses, under_way | outstanding.missing, kmdb.settings().revisions_per_run)
    targets = [number for first, last in ranges for number in range(first, last + 1)]
    return _add_backfill(instance, targets, title)._replace(revisions=wanted)


def request_reload(instance: dg.DagsterInstance, kmdb: Opener) -> RequestedBackfill:
    """Request a backfill that loads the revisions again that were loaded with other filters, from their Parquet."""
    with kmdb.warehouse(whole_tables=False) as warehouse:
        with transaction(warehouse.engine) as connection:
            current = read_filters(connection).digest()
        other = set(loaded_with(warehouse.engine, current).other) - active_imports(instance).revisions
        if not other:
            return RequestedBackfill("", [])
        register(instance, warehouse, min(other), max(other))
    return _add_backfill(instance, sorted(other), "filters", (EVENTS, PROPERTIES))


def backfill_outcome(instance: dg.DagsterInstance, backfill: str) -> str | None:
    """Return Dagster's name of a backfill's outcome (``COMPLETED_SUCCESS`` …); None while it is active."""
    found = instance.get_backfill(backfill)
    status = found.status.value if found else "GONE"
    return None if status in {"REQUESTED", "CANCELING", "FAILING"} else str(status)


def has_runs(instance: dg.DagsterInstance, backfill: str) -> bool:
    """Return whether Dagster's daemon has requested a run of a backfill."""
    return bool(instance.get_runs(dg.RunsFilter(tags={BACKFILL: backfill}), limit=1))


def _scan_bucket(kmdb: Opener) -> BucketScan:
    bucket = kmdb.bucket()
    with kmdb.warehouse() as warehouse:
        check_bucket(warehouse.engine, bucket.location)
    return list_bucket(bucket, kmdb.settings().min_revision)


def _add_backfill(
    instance: dg.DagsterInstance,
    revisions: list[int],
    title: str,
    assets: tuple[dg.AssetKey, ...] = REVISION_ASSETS,
) -> RequestedBackfill:
    partitions = dg.DynamicPartitionsDefinition(name=PARTITIONS_NAME)
    subset = partitions.empty_subset().with_partition_keys([str(revision) for revision in revisions])
    backfill = PartitionBackfill.from_asset_graph_subset(
        backfill_id=uuid.uuid4().hex[:8],
        backfill_timestamp=time.time(),
        tags=tags_of(title),
        dynamic_partitions_store=instance,
        asset_graph_subset=AssetGraphSubset(  # type: ignore[call-arg]  # its decorator hides the defaults from mypy
            partitions_subsets_by_asset_key=dict.fromkeys(assets, subset)
        ),
        title=title,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    return RequestedBackfill(str(backfill.backfill_id), revisions)
