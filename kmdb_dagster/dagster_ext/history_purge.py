"""Purge old runs, their events, compute logs and backfills from Dagster's history. Dagster never does that itself.

What was materialized stays: of each partition the latest materialization, of each check the latest result. So the UI
counts the same partitions, and nothing is imported again (the ledger decides that anyway). Runs that the sensor
requested and that failed or were canceled stay too: they say which ranges wait for you.

Dagster's tables are not public: `event_logs`, `asset_keys`, `asset_event_tags`, `asset_check_executions`, `runs`,
`run_tags`, `bulk_actions` and `backfill_tags`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs.schema import BackfillTagsTable, BulkActionsTable, RunsTable, RunTagsTable
from sqlalchemy import Connection, Table, delete, func, select

from kmdb_dagster.dagster_ext.import_requests import REQUESTED_CONTENT
from kmdb_dagster.dagster_ext.run_ranges import BACKFILL

RUNS_PER_TRANSACTION = 100
EVENTS_PER_READ = 10_000
"""A run of 200 revisions has 2,000 events."""
ACTIVE_BACKFILLS = ("REQUESTED", "CANCELING", "FAILING")
MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION.value
OBSERVED = dg.DagsterEventType.ASSET_OBSERVATION.value

EVENTS: Any = SqlEventLogStorageTable.c
CHECKS: Any = AssetCheckExecutionsTable.c


class Latest(NamedTuple):
    """Ids of rows that stay, because the UI shows them. They are read once: later rows belong to runs that stay."""

    events: set[int]
    """The latest materialization and observation of each asset as a whole."""
    check_results: set[int]


class Purged(NamedTuple):
    """Counts of what was, or would be, purged."""

    runs: int
    backfills: int


def purge_history(
    instance: dg.DagsterInstance, before: datetime, *, dry_run: bool, report: Callable[[str, int, int], object]
) -> Purged:
    """Purge the runs and backfills that ended before a time. Safe to kill and to repeat.

    Args:
        instance: Dagster's instance.
        before: with time zone. Later runs stay.
        dry_run: only count.
        report: progress: what is done, the number done, the total.
    """
    runs, backfills = _old_runs(instance, before), _old_backfills(instance, before)
    if not dry_run:
        latest = _latest(instance)
        for start in range(0, len(runs), RUNS_PER_TRANSACTION):
            batch = runs[start : start + RUNS_PER_TRANSACTION]
            _purge_runs(instance, batch, latest)
            report("purging runs", start + len(batch), len(runs))
        _purge_backfills(instance, backfills)
    return Purged(len(runs), len(backfills))


def _old_runs(instance: dg.DagsterInstance, before: datetime) -> list[str]:
    """Return the ids of old runs, except those of active backfills and those that hold a range back."""
    active = {run for key in _backfill_keys(instance, active=True, before=None) for run in _runs_of(instance, key)}
    succeeded = instance.get_run_ids(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS], updated_before=before))
    others = instance.get_runs(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED], updated_before=before)
    )
    ended = [*succeeded, *(run.run_id for run in others if REQUESTED_CONTENT not in run.tags)]
    return [run for run in ended if run not in active]


def _runs_of(instance: dg.DagsterInstance, backfill: str) -> Sequence[str]:
    return instance.get_run_ids(dg.RunsFilter(tags={BACKFILL: backfill}))


def _old_backfills(instance: dg.DagsterInstance, before: datetime) -> list[str]:
    return _backfill_keys(instance, active=False, before=before)


def _backfill_keys(instance: dg.DagsterInstance, *, active: bool, before: datetime | None) -> list[str]:
    table: Any = BulkActionsTable.c
    query = select(table.key).where(table.status.in_(ACTIVE_BACKFILLS) == active)
    if before is not None:
        query = query.where(table.timestamp < before.replace(tzinfo=None))
    storage: Any = instance.run_storage
    with storage.connect() as connection:
        return [str(key) for key in connection.execute(query).scalars()]


def _latest(instance: dg.DagsterInstance) -> Latest:
    storage: Any = instance.event_log_storage
    with storage.index_connection() as connection:
        events: set[int] = set()
        for asset in connection.execute(select(AssetKeyTable.c.asset_key)).scalars():
            for kind in (MATERIALIZED, OBSERVED):
                query = select(func.max(EVENTS.id)).where(EVENTS.asset_key == asset, EVENTS.dagster_event_type == kind)
                events.update(connection.execute(query).scalars())
        results = connection.execute(select(func.max(CHECKS.id)).group_by(CHECKS.asset_key, CHECKS.check_name))
        return Latest(events, set(results.scalars()))


def _purge_runs(instance: dg.DagsterInstance, runs: Sequence[str], latest: Latest) -> None:
    """Purge the events first: a run that is still there is purged again if this is interrupted."""
    storage: Any = instance.event_log_storage
    with storage.index_connection() as connection:
        _purge_events(connection, runs, latest)
        _purge_check_results(connection, runs, latest)
    for run in runs:
        if storage.is_run_sharded:
            _delete_file_of_run(Path(storage.path_for_shard(run)))
        instance.compute_log_manager.delete_logs(prefix=[run])
    runs_storage: Any = instance.run_storage
    with runs_storage.connect() as connection:
        _delete_ids(connection, RunTagsTable, RunTagsTable.c.run_id, runs)
        _delete_ids(connection, RunsTable, RunsTable.c.run_id, runs)


def _delete_file_of_run(path: Path) -> None:
    """Delete the file of a run's events in SQLite, with its companions."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


def _purge_events(connection: Connection, runs: Sequence[str], latest: Latest) -> None:
    columns = (EVENTS.id, EVENTS.dagster_event_type, EVENTS.asset_key, EVENTS.partition)
    of_runs = select(*columns).where(EVENTS.run_id.in_(runs)).order_by(EVENTS.id).limit(EVENTS_PER_READ)
    last = 0
    while found := connection.execute(of_runs.where(EVENTS.id > last)).all():
        last = found[-1].id
        kept = latest.events.union(_latest_of_partitions(connection, found))
        purged = [event.id for event in found if event.id not in kept]
        _delete_ids(connection, AssetEventTagsTable, AssetEventTagsTable.c.event_id, purged)
        _delete_ids(connection, SqlEventLogStorageTable, EVENTS.id, purged)


def _latest_of_partitions(connection: Connection, found: Iterable[Any]) -> Iterator[int]:
    """Yield the ids of the latest events of the partitions of these events, for each kind and asset."""
    partitions: dict[tuple[str, str], set[str]] = {}
    for event in found:
        if event.partition and event.asset_key and event.dagster_event_type in {MATERIALIZED, OBSERVED}:
            partitions.setdefault((event.dagster_event_type, event.asset_key), set()).add(event.partition)
    for (kind, asset), names in partitions.items():
        for part in _parts(sorted(names)):
            query = select(func.max(EVENTS.id)).where(EVENTS.asset_key == asset, EVENTS.dagster_event_type == kind)
            yield from connection.execute(query.where(EVENTS.partition.in_(part)).group_by(EVENTS.partition)).scalars()


def _purge_check_results(connection: Connection, runs: Sequence[str], latest: Latest) -> None:
    found = connection.execute(select(CHECKS.id).where(CHECKS.run_id.in_(runs))).scalars()
    purged = [number for number in found if number not in latest.check_results]
    _delete_ids(connection, AssetCheckExecutionsTable, CHECKS.id, purged)


def _purge_backfills(instance: dg.DagsterInstance, keys: Sequence[str]) -> None:
    storage: Any = instance.run_storage
    with storage.connect() as connection:
        _delete_ids(connection, BackfillTagsTable, BackfillTagsTable.c.backfill_id, keys)
        _delete_ids(connection, BulkActionsTable, BulkActionsTable.c.key, keys)


def _delete_ids(connection: Connection, table: Table, column: Any, ids: Sequence[object]) -> None:  # noqa: ANN401 - a column
    for part in _parts(ids):
        connection.execute(delete(table).where(column.in_(part)))


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Split a list: SQLite takes some hundred parameters in a statement."""
    for start in range(0, len(items), 500):
        yield items[start : start + 500]
