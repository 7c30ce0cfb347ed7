"""Runs that import: which revisions a run takes, and which runs are active."""

from collections.abc import Iterator
from typing import NamedTuple

import dagster as dg

from kmdb_dagster.dagster_ext.asset_keys import EVENTS, PROPERTIES, REVISION_ASSETS

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"

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
    """What Dagster does already: the number of import runs, their revisions, and whether a backfill is active."""

    runs: int
    revisions: set[int]
    backfill: bool


def range_of(run: dg.DagsterRun) -> tuple[int, int] | None:
    """Return the first and the last revision of a run; None for a run that does not import."""
    first = run.tags.get(RANGE_START) or run.tags.get(PARTITION, "")
    last = run.tags.get(RANGE_END) or run.tags.get(PARTITION, "")
    return (int(first), int(last)) if first.isdecimal() and last.isdecimal() else None


def loads_facts(run: dg.DagsterRun) -> bool:
    """Return whether the run loads facts. No selection means all assets of its job."""
    return not run.asset_selection or EVENTS in run.asset_selection


def active_imports(instance: dg.DagsterInstance) -> ActiveImports:
    """Read the active import runs and backfills."""
    runs = instance.get_runs(dg.RunsFilter(statuses=ACTIVE_STATUSES))
    ours = [run for run in runs if not run.asset_selection or not run.asset_selection.isdisjoint(REVISION_ASSETS)]
    ranges = [found for run in ours if (found := range_of(run))]
    revisions = {number for first, last in ranges for number in range(first, last + 1)}
    backfills = [backfill for backfill in instance.get_backfills(limit=20) if backfill.status.value == "REQUESTED"]
    return ActiveImports(len(ranges), revisions, bool(backfills))


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
