"""Bring the columnar copy up to date, or make it again. Killed at any moment, the next refresh completes it.

1. Read the state and the changed days in one snapshot, and write the changed time partitions to new files.
2. Publish: replace the manifest. Readers see the previous copy until here.
3. Delete the changed days that were read. Killed before, the next refresh writes the same partitions again.
4. Remove the files that no manifest uses.
"""

import uuid
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.columnar.duckdb_views import write_views
from kmdb_dagster.columnar.folder import KEPT_FOR_READERS, claim_copy, is_intact, new_file, remove_old_files
from kmdb_dagster.columnar.manifest import (
    SETTING,
    UNBOUNDED,
    Bounds,
    CopiedFile,
    Manifest,
    WarehouseState,
    new_time,
    read_manifest,
    write_manifest,
)
from kmdb_dagster.columnar.snapshot import NAMES, SOURCES, Snapshot, open_snapshot
from kmdb_dagster.columnar.sorted_parquet import write_in_order, write_sorted
from kmdb_dagster.lake import Lake
from kmdb_dagster.lake.files import translate_os_errors
from kmdb_dagster.warehouse.connection.server import named_lock
from kmdb_dagster.warehouse.identity.user_map import Progress
from kmdb_dagster.warehouse.ledger.changed_days import REFRESH_LOCK, ChangedDays, delete_changed_days
from kmdb_dagster.warehouse.schema.tables import FACTS

LOCK_TIMEOUT_SECONDS = 600

Part = tuple[str, Bounds]
"""A table, and the span of time of a file."""


class Refreshed(NamedTuple):
    """What a refresh did."""

    manifest: Manifest
    files_written: int
    files_removed: int
    rows_written: int
    bytes_written: int
    copy: bytes
    """The id of the copy, among the data folders."""


def refresh(  # noqa: PLR0913 - three places and four options
    engine: Engine,
    lake: Lake,
    folder: Path,
    *,
    again: bool = False,
    keep_old: bool = True,
    lock_timeout_seconds: int = LOCK_TIMEOUT_SECONDS,
    report: Progress = lambda *_: None,
) -> Refreshed:
    """Bring the copy up to date: rewrite the time partitions whose facts changed, and the names if any did.

    Args:
        engine: the warehouse.
        lake: the data folder.
        folder: the folder of the copy.
        again: write everything again, in this folder.
        keep_old: keep replaced files for a while, for queries that read them.
        lock_timeout_seconds: how long to wait for another refresh.
        report: called with what is being done, how much is done, and of how much.

    Raises:
        PermanentError: the copy is in another folder, or the folder belongs to another database.
        TransientError: another process refreshes for longer than that, or the time partitions changed.
    """
    with named_lock(engine, REFRESH_LOCK, lock_timeout_seconds) as lock:
        copy = claim_copy(engine, lake, folder, move=again)
        with open_snapshot(engine) as snapshot:
            plan = _plan(lock, snapshot, None if again else read_manifest(folder), folder)
            files = _write_files(snapshot, folder, plan, report)
        manifest = _manifest(plan, files)
        if manifest is not plan.base:
            # The lock must still be held: the server released it if it has lost this connection.
            lock.exec_driver_sql("SELECT 1")
            write_manifest(folder, manifest)
        write_views(folder, manifest)
        _delete_changes(lock, plan.changes, manifest)
        removed = remove_old_files(folder, manifest, at_once=not keep_old)
    rows, size = sum(file.rows for file in files), sum(file.bytes for file in files)
    return Refreshed(manifest, len(files), removed, rows, size, copy)


class _Plan(NamedTuple):
    base: Manifest | None
    """The copy to go on from. None: everything is written again."""
    state: WarehouseState
    changes: ChangedDays
    parts: list[Part]
    """All files that the copy consists of."""
    dirty: list[Part]
    """Those to write."""


def _plan(lock: Connection, snapshot: Snapshot, found: Manifest | None, folder: Path) -> _Plan:
    state, changes = snapshot.state(), snapshot.changed_days()
    base = found if found and is_usable(lock, found, state) else None
    parts = [*snapshot.partitions(state), *((table, UNBOUNDED) for table in NAMES)]
    if base is None:
        return _Plan(None, state, changes, parts, parts)
    known = {(file.table, file.bounds) for file in base.files if _is_there(folder, file)}
    # The server may have lost the commits that the latest manifest has: write what it rewrote again.
    suspect = set() if base.id == _recorded_manifest(lock) else set(base.rewritten)
    names_changed = changes.ids or state.map_version != base.state.map_version
    dirty = [
        (table, bounds)
        for table, bounds in parts
        if (table, bounds) not in known
        or (table, bounds) in suspect
        or (names_changed if table in NAMES else any(day in bounds for day in changes.days))
    ]
    return _Plan(base, state, changes, parts, dirty)


def is_usable(connection: Connection, manifest: Manifest, state: WarehouseState) -> bool:
    """Return whether a copy can be brought up to date: it is of these ids, and no changed day was lost since.

    Args:
        connection: a transaction.
        manifest: the manifest of the copy.
        state: the state of the warehouse now.
    """
    recorded = _recorded_manifest(connection)
    return manifest.state.generation == state.generation and recorded in {manifest.id, manifest.previous}


def _recorded_manifest(connection: Connection) -> str | None:
    found = connection.execute(text("SELECT manifest_id FROM columnar_copy WHERE id = 1")).scalar()
    return None if found is None else bytes(found).hex()


def _is_there(folder: Path, file: CopiedFile) -> bool:
    return file.path is None or is_intact(folder, file.path, file.bytes)


def _write_files(snapshot: Snapshot, folder: Path, plan: _Plan, report: Progress) -> list[CopiedFile]:
    files: list[CopiedFile] = []
    with _deleted_on_error(folder, files):
        for number, (table, bounds) in enumerate(plan.dirty, start=1):
            files.append(_write_file(snapshot, folder, table, bounds))
            report("writing time partitions and names", number, len(plan.dirty))
    return files


@contextmanager
def _deleted_on_error(folder: Path, files: list[CopiedFile]) -> Iterator[None]:
    """After an error, delete the written files: the disk may be full. Those of a killed process go at the next run."""
    try:
        yield
    except BaseException:
        for file in files:
            if file.path:
                (folder / file.path).unlink(missing_ok=True)
        raise


def _write_file(snapshot: Snapshot, folder: Path, table: str, bounds: Bounds) -> CopiedFile:
    with translate_os_errors(folder, SETTING):
        name, path = new_file(folder, table, f"{bounds.start:%Y%m%d}" if bounds.start else "")
        try:
            rows = _write_rows(snapshot, path, table, bounds)
        except BaseException:
            path.unlink()
            raise
        if not rows:
            path.unlink()
            return CopiedFile(table, bounds, None, 0, 0)
        return CopiedFile(table, bounds, name, rows, path.stat().st_size)


def _write_rows(snapshot: Snapshot, path: Path, table: str, bounds: Bounds) -> int:
    schema = SOURCES[table].schema
    # After an error too, the rest of the rows must be read, or the connection is of no use.
    with closing(snapshot.rows(table, bounds)) as batches:
        return write_sorted(path, schema, batches) if table in FACTS else write_in_order(path, schema, batches)


def _manifest(plan: _Plan, written: Collection[CopiedFile]) -> Manifest:
    """Return the manifest to publish; the previous one if nothing is different."""
    base = plan.base
    if base is not None and not written and base.state == plan.state:
        return base
    now = new_time()
    files = {(file.table, file.bounds): file for file in (*(base.files if base else ()), *written)}
    kept = tuple(files[part] for part in plan.parts)
    paths = {file.path for file in kept}
    retired = {file.path: now for file in (base.files if base else ()) if file.path and file.path not in paths}
    before = {path: at for path, at in base.retired.items() if at > now - KEPT_FOR_READERS} if base else {}
    return Manifest(
        uuid.uuid4().hex,
        base.id if base else None,
        now,
        plan.state,
        kept,
        tuple(plan.dirty),
        {**before, **retired},
    )


def _delete_changes(lock: Connection, changes: ChangedDays, manifest: Manifest) -> None:
    """Delete the changed days that the published copy has, then record the manifest.

    On the connection of the lock: it is older than the snapshot, so the server has lost no commit since, and no other
    row has one of these ids.
    """
    delete_changed_days(lock, changes.ids)
    lock.execute(
        text("UPDATE columnar_copy SET manifest_id = :manifest WHERE id = 1"), {"manifest": bytes.fromhex(manifest.id)}
    )
