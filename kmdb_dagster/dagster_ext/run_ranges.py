"""Runs that import: which revisions a run takes, and which runs and backfills are active.

`PartitionBackfill` and its filters are not public in Dagster, and it has no other way to ask for active backfills.
"""

from collections.abc import Iterator
from typing import NamedTuple

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill

from kmdb_dagster.dagster_ext.asset_keys import EVENTS, PROPERTIES, REVISION_ASSETS

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"
BACKFILL = "dagster/backfill"

PRIORITY = "dagster/priority"
NEW_REVISIONS_PRIORITY = "1"
"""Of the sensor's runs over new revisions: they start before repeats and backfills, whose priority is 0."""

ACTIVE_STATUSES = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


class LoadedRange(NamedTuple):
    """A run that loaded facts and has ended."""

    ended: float
    """In seconds since 1970."""
    seconds: float
    """How long it ran."""
    first: int
    last: int


class ActiveImports(NamedTuple):
    """What Dagster does already: its active import runs and backfills."""

    runs: int
    """All active import runs."""
    new_runs: int
    """The sensor's runs over new revisions."""
    repeat_runs: int
    """The sensor's runs over changed revisions."""
    revisions: set[int]
    """The revisions of active runs."""
    backfilled: set[int]
    """The revisions of requested backfills, whose runs may not exist yet."""

    @property
    def under_way(self) -> set[int]:
        """The revisions of active runs and backfills."""
        return self.revisions | self.backfilled


def range_of(run: dg.DagsterRun) -> tuple[int, int] | None:
    """Return the first and the last revision of a run; None for a run that does not import."""
    first = run.tags.get(RANGE_START) or run.tags.get(PARTITION, "")
    last = run.tags.get(RANGE_END) or run.tags.get(PARTITION, "")
    return (int(first), int(last)) if first.isdecimal() and last.isdecimal() else None


def is_import(run: dg.DagsterRun) -> bool:
    """Return whether the run imports revisions."""
    selection = run.asset_selection
    return range_of(run) is not None and (not selection or not selection.isdisjoint(REVISION_ASSETS))


def loads_facts(run: dg.DagsterRun) -> bool:
    """Return whether the run loads facts. No selection means all assets of its job."""
    return not run.asset_selection or EVENTS in run.asset_selection


def active_imports(instance: dg.DagsterInstance) -> ActiveImports:
    """Read the active import runs and backfills."""
    runs = [run for run in instance.get_runs(dg.RunsFilter(statuses=ACTIVE_STATUSES)) if is_import(run)]
    ranges = [found for run in runs if (found := range_of(run))]
    of_sensor = [run.tags.get(PRIORITY) for run in runs if BACKFILL not in run.tags]
    new = of_sensor.count(NEW_REVISIONS_PRIORITY)
    revisions = {number for first, last in ranges for number in range(first, last + 1)}
    return ActiveImports(len(ranges), new, len(of_sensor) - new, revisions, _backfilled(instance))


def _backfilled(instance: dg.DagsterInstance) -> set[int]:
    filters = BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED])
    keys = {key for backfill in instance.get_backfills(filters=filters) for key in _keys_of(backfill)}
    return {int(key) for key in keys if key.isdecimal()}


def _keys_of(backfill: PartitionBackfill) -> Iterator[str]:
    """Yield the partition keys that a backfill has for assets of a revision."""
    targets = (
        backfill.asset_backfill_data.target_subset.partitions_subsets_by_asset_key
        if backfill.asset_backfill_data
        else {}
    )
    for key, subset in targets.items():
        if key in REVISION_ASSETS:
            yield from subset.get_partition_keys()


def recorded_revisions(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[int]:
    """Return the revisions that a run recorded as loaded, whatever its outcome."""
    logged = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    events = (entry.dagster_event for entry in logged)
    return [int(event.partition) for event in events if event and event.partition and event.asset_key == PROPERTIES]


def loaded_ranges(instance: dg.DagsterInstance, max_runs: int) -> Iterator[LoadedRange]:
    """Read the runs among the latest ``max_runs`` that loaded facts, the latest first."""
    for record in instance.get_run_records(dg.RunsFilter(statuses=ENDED), limit=max_runs):
        run, found = record.dagster_run, range_of(record.dagster_run)
        if found and loads_facts(run) and record.start_time and record.end_time and record.end_time > record.start_time:
            yield LoadedRange(record.end_time, record.end_time - record.start_time, *found)
