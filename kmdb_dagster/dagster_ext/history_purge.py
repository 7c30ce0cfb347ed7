"""Purges old runs, their events, compute logs and backfills from Dagster's history. Dagster never does that itself.

What was materialized stays: of each partition the latest materialization, of each check the latest result. So the UI
counts the same partitions, and nothing is imported again (the ledger decides that anyway). Runs that the sensor
requested and that failed or were canceled stay too: they say which ranges wait for you.

Dagster's tables are not public: `event_logs`, `asset_event_tags`, `asset_check_executions`, `bulk_actions` and
`backfill_tags`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs.schema import BackfillTagsTable, BulkActionsTable
from sqlalchemy import Connection, Table, delete, func, select

from kmdb_dagster.dagster_ext.import_requests import REQUESTED_CONTENT
from kmdb_dagster.dagster_ext.run_ranges import BACKFILL

RUNS_PER_TRANSACTION = 100
ACTIVE_BACKFILLS = ("REQUESTED", "CANCELING", "FAILING")
MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION.value
OBSERVED = dg.DagsterEventType.ASSET_OBSERVATION.value

EVENTS: Any = SqlEventLogStorageTable.c
CHECKS: Any = AssetCheckExecutionsTable.c


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
        done = 0
        remaining = iter(runs)
        while batch := list(islice(remaining, RUNS_PER_TRANSACTION)):
            _purge_runs(instance, batch)
            done += len(batch)
            report("purging runs", done, len(runs))
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


def _purge_runs(instance: dg.DagsterInstance, runs: Sequence[str]) -> None:
    """Purge the events first: a run that is still there is purged again if this is interrupted."""
    storage: Any = instance.event_log_storage
    with storage.index_connection() as connection:
        _purge_events(connection, runs)
        _purge_check_results(connection, runs)
    for run in runs:
        if storage.is_run_sharded:
            _delete_file_of_run(Path(storage.path_for_shard(run)))
        instance.compute_log_manager.delete_logs(prefix=[run])
        instance.run_storage.delete_run(run)


def _delete_file_of_run(path: Path) -> None:
    """Delete the file of a run's events in SQLite, with its companions."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


def _purge_events(connection: Connection, runs: Sequence[str]) -> None:
    found = connection.execute(
        select(EVENTS.id, EVENTS.dagster_event_type, EVENTS.asset_key, EVENTS.partition).where(EVENTS.run_id.in_(runs))
    ).all()
    kept = set(_latest_events(connection, found))
    purged = [event.id for event in found if event.id not in kept]
    _delete_ids(connection, AssetEventTagsTable, AssetEventTagsTable.c.event_id, purged)
    _delete_ids(connection, SqlEventLogStorageTable, EVENTS.id, purged)


def _latest_events(connection: Connection, found: Iterable[Any]) -> Iterator[int]:
    """Yield the ids of the events of these that are the latest of their kind, asset and partition."""
    partitions: dict[tuple[str, str], set[str | None]] = {}
    for event in found:
        if event.asset_key and event.dagster_event_type in {MATERIALIZED, OBSERVED}:
            partitions.setdefault((event.dagster_event_type, event.asset_key), set()).add(event.partition)
    for (kind, asset), names in partitions.items():
        for part in _parts(sorted(name for name in names if name is not None)):
            query = select(func.max(EVENTS.id)).where(EVENTS.asset_key == asset, EVENTS.dagster_event_type == kind)
            yield from connection.execute(query.where(EVENTS.partition.in_(part)).group_by(EVENTS.partition)).scalars()
        # The latest of the asset as a whole, which its page shows.
        query = select(func.max(EVENTS.id)).where(EVENTS.asset_key == asset, EVENTS.dagster_event_type == kind)
        yield from connection.execute(query).scalars()


def _purge_check_results(connection: Connection, runs: Sequence[str]) -> None:
    latest = connection.execute(select(func.max(CHECKS.id)).group_by(CHECKS.asset_key, CHECKS.check_name)).scalars()
    kept = set(latest)
    found = connection.execute(select(CHECKS.id).where(CHECKS.run_id.in_(runs))).scalars()
    _delete_ids(connection, AssetCheckExecutionsTable, CHECKS.id, [number for number in found if number not in kept])


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
