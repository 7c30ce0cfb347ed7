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

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Connection, Engine, text

from kmdb_dagster.columnar.duckdb_views import write_views
from kmdb_dagster.columnar.folder import KEPT_FOR_READERS, claim_copy, is_intact, new_file, remove_old_files
from kmdb_dagster.columnar.manifest import (
    SETTING,
    CopiedFile,
    IdRange,
    Manifest,
    Span,
    WarehouseState,
    new_time,
    read_manifest,
    write_manifest,
)
from kmdb_dagster.columnar.snapshot import NAMES, SOURCES, Snapshot, id_ranges, open_snapshot
from kmdb_dagster.columnar.sorted_parquet import write_in_order, write_sorted
from kmdb_dagster.lake import Lake
from kmdb_dagster.lake.files import translate_os_errors
from kmdb_dagster.warehouse.connection.server import named_lock
from kmdb_dagster.warehouse.identity.user_map import Progress
from kmdb_dagster.warehouse.ledger.changed_days import REFRESH_LOCK, ChangedDays, delete_changed_days
from kmdb_dagster.warehouse.schema.tables import FACTS

LOCK_TIMEOUT_SECONDS = 600
IDS_READ_AGAIN = 10_000
"""A process that lost the lock of interning may commit lower ids after higher ones."""

Part = tuple[str, Span]
"""A table, and the span of time or the range of ids of a file."""


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
        _record(lock, plan.changes, manifest)
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
    patched: dict[Part, CopiedFile]
    """Those of them that are made of the file before and the rows that changed."""


def _plan(lock: Connection, snapshot: Snapshot, found: Manifest | None, folder: Path) -> _Plan:
    state, changes = snapshot.state(), snapshot.changed_days()
    base = found if found and is_usable(lock, found, state) else None
    parts: list[Part] = [*snapshot.partitions(state), *id_ranges(state)]
    if base is None:
        return _Plan(None, state, changes, parts, parts, {})
    known = {(file.table, file.bounds): file for file in base.files if _is_there(folder, file)}
    # The server may have lost the commits that the latest manifest has: write what it rewrote again.
    suspect = set() if base.id == _recorded_manifest(lock) else set(base.rewritten)
    whole = {part for part in parts if part not in known or part in suspect or _is_any_row_changed(part, changes)}
    patched = {part: known[part] for part in parts if part not in whole and _is_patched(part, base, state, changes)}
    return _Plan(base, state, changes, parts, [part for part in parts if part in whole or part in patched], patched)


def _is_any_row_changed(part: Part, changes: ChangedDays) -> bool:
    table, span = part
    return changes.is_any_name if table in NAMES else any(day in span for day in changes.days)


def _is_patched(part: Part, base: Manifest, state: WarehouseState, changes: ChangedDays) -> bool:
    """Return whether a range of names has new ones, or identities that changed. Ids ascend with the commits."""
    table, span = part
    if not isinstance(span, IdRange):
        return False
    has_new = base.state.last_id(table) < min(span.before - 1, state.last_id(table))
    return has_new or (table != "keys" and any(identity in span for identity in changes.identities))


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
            files.append(_write_file(snapshot, folder, plan, (table, bounds)))
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


def _write_file(snapshot: Snapshot, folder: Path, plan: _Plan, part: Part) -> CopiedFile:
    table, bounds = part
    with translate_os_errors(folder, SETTING):
        name, path = new_file(folder, table, _label(bounds))
        try:
            rows = _write_rows(snapshot, folder, path, plan, part)
        except BaseException:
            path.unlink()
            raise
        if not rows:
            path.unlink()
            return CopiedFile(table, bounds, None, 0, 0)
        return CopiedFile(table, bounds, name, rows, path.stat().st_size)


def _label(bounds: Span) -> str:
    if isinstance(bounds, IdRange):
        return str(bounds.start)
    return f"{bounds.start:%Y%m%d}" if bounds.start else ""


def _write_rows(snapshot: Snapshot, folder: Path, path: Path, plan: _Plan, part: Part) -> int:
    table, bounds = part
    schema = SOURCES[table].schema
    if plan.base and part in plan.patched:
        old, since = plan.patched[part], plan.base.state.last_id(table) - IDS_READ_AGAIN
        return write_in_order(path, schema, [_patched_names(snapshot, folder, old, since, plan.changes.identities)])
    # After an error too, the rest of the rows must be read, or the connection is of no use.
    with closing(snapshot.rows(table, bounds)) as batches:
        return write_sorted(path, schema, batches) if table in FACTS else write_in_order(path, schema, batches)


def _patched_names(snapshot: Snapshot, folder: Path, old: CopiedFile, since: int, changed: Collection[int]) -> pa.Table:
    """Return a range of names as it is now: the rows of its file, with those that are new or changed read again."""
    schema = SOURCES[old.table].schema
    key = schema.names[0]
    again = [] if old.table == "keys" else [identity for identity in sorted(changed) if identity in old.bounds]
    only = f"{key} > {since}" + (f" OR {key} IN ({', '.join(map(str, again))})" if again else "")
    with closing(snapshot.rows(old.table, old.bounds, only)) as batches:
        new = pa.concat_tables([schema.empty_table(), *batches])
    kept = pq.read_table(folder / old.path) if old.path else schema.empty_table()
    is_kept = (pc.field(key) <= since) & ~pc.field(key).isin(pa.array(again, pa.int64()))
    return pa.concat_tables([kept.filter(is_kept), new]).sort_by(key)


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


def _record(lock: Connection, changes: ChangedDays, manifest: Manifest) -> None:
    """Record the manifest, then delete the changed days that the published copy has.

    In this order, a reader who sees that no changed days are left also sees that the manifest before is not current.
    On the connection of the lock: it is older than the snapshot, so the server has lost no commit since, and no other
    row has one of these ids.
    """
    lock.execute(
        text("UPDATE columnar_copy SET manifest_id = :manifest WHERE id = 1"), {"manifest": bytes.fromhex(manifest.id)}
    )
    delete_changed_days(lock, changes.ids)
