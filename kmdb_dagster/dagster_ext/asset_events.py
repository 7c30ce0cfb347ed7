"""Stores events of assets together in one transaction. Dagster takes two connections and transactions for each event.

`History` applies this to its event log (docs/decisions/0041-asset-events-in-batches.md).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEventType
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetKeyTable, SqlEventLogStorageTable
from sqlalchemy import Connection
from sqlalchemy.dialects.mysql import insert

BATCH_SIZE_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
BATCH_SIZE = 1000
"""Dagster passes up to this many planned events of a new run to the storage at once; without it, one by one."""

STORED_IN_BATCHES = {DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_MATERIALIZATION_PLANNED}

_pending: ContextVar[list[dg.EventLogEntry] | None] = ContextVar("_pending", default=None)


@contextmanager
def in_one_transaction(instance: dg.DagsterInstance) -> Iterator[None]:
    """Store the materializations that this thread logs inside, together at the end. Blocks may be nested.

    With another storage than `History`, each is stored at once.
    """
    if _pending.get() is not None:
        yield
        return
    events: list[dg.EventLogEntry] = []
    token = _pending.set(events)
    try:
        yield
    finally:
        _pending.reset(token)
        if events:
            instance.event_log_storage.store_event_batch(events)


def store_in_batches(storage: SqlEventLogStorage, with_retries: Callable[[Callable[..., None]], Any]) -> None:
    """Replace the two methods of an event log that store events. Events of other kinds are stored as before.

    Args:
        storage: the event log.
        with_retries: wraps a function that stores events.
    """
    store_other = storage.store_event
    store_events = with_retries(lambda events: _store(storage, events))

    def store_event(event: dg.EventLogEntry) -> None:
        pending = _pending.get()
        if not _is_stored_in_batches(event):
            store_other(event)
        elif pending is None:
            store_events([event])
        else:
            pending.append(event)

    def store_event_batch(events: Sequence[dg.EventLogEntry]) -> None:
        if batch := [event for event in events if _is_stored_in_batches(event)]:
            store_events(batch)
        for event in events:
            if not _is_stored_in_batches(event):
                store_other(event)

    storage.store_event = store_event  # type: ignore[method-assign]
    storage.store_event_batch = store_event_batch  # type: ignore[method-assign]


def _is_stored_in_batches(event: dg.EventLogEntry) -> bool:
    found = event.dagster_event
    return found is not None and found.event_type in STORED_IN_BATCHES and found.asset_key is not None


def _store(storage: SqlEventLogStorage, events: Sequence[dg.EventLogEntry]) -> None:
    rows = [storage._event_to_row(event) for event in events]  # noqa: SLF001
    if storage.is_run_sharded:
        # The run's own file. What follows goes to the file that is common to all runs.
        _insert_by_run(storage, rows)
    with storage.index_transaction() as connection:
        _lock_assets(connection, sorted({row["asset_key"] for row in rows}))
        _store_in_index(storage, connection, list(zip(events, rows, strict=True)))


def _insert_by_run(storage: SqlEventLogStorage, rows: Sequence[dict[str, Any]]) -> None:
    for run_id in dict.fromkeys(row["run_id"] for row in rows):
        with storage.run_connection(run_id) as connection:
            _insert(connection, [row for row in rows if row["run_id"] == run_id])


def _lock_assets(connection: Connection, asset_keys: Sequence[str]) -> None:
    """Create or lock the assets before their events get ids, so that an asset's ids ascend in the order of commits.

    Else the UI, which counts partitions from the latest id that it has seen, would miss events that were committed
    later with lower ids. On SQLite the first insert locks the whole file.
    """
    if connection.dialect.name == "sqlite":
        return
    # Not SELECT … FOR UPDATE: of assets that are not there yet, two runs would both lock the gap (a deadlock).
    statement = insert(AssetKeyTable).values([{"asset_key": key} for key in asset_keys])
    connection.execute(statement.on_duplicate_key_update(asset_key=statement.inserted.asset_key))


def _store_in_index(
    storage: SqlEventLogStorage, connection: Connection, events: Sequence[tuple[dg.EventLogEntry, dict[str, Any]]]
) -> None:
    """Insert events, and update their assets. Only the last event of an asset, and events with tags, need their id."""
    last = {(row["asset_key"], row["dagster_event_type"]): event for event, row in events}.values()
    waiting: list[dict[str, Any]] = []
    for event, row in events:
        is_tagged = bool(storage._tags_for_asset_event(event))  # noqa: SLF001
        is_last = any(event is other for other in last)
        waiting.append(row)
        if not is_tagged and not is_last:
            continue
        _insert(connection, waiting[:-1])
        event_id = connection.execute(SqlEventLogStorageTable.insert(), row).lastrowid
        waiting.clear()
        if is_tagged:
            storage._store_asset_event_tags(connection, [event], [event_id])  # noqa: SLF001
        if is_last:
            storage._store_asset_event(connection, event, event_id)  # noqa: SLF001


def _insert(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(SqlEventLogStorageTable.insert(), rows)
