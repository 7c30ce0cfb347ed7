"""A refresh that is stopped, killed or damaged, and what the next one makes of it."""

import os
import signal
import threading
from multiprocessing import get_context
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kmdb_dagster.columnar import refresh as refreshing
from kmdb_dagster.columnar.manifest import MANIFEST, read_manifest
from kmdb_dagster.columnar.status import compare_with_ledger
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster_tests.columnar.copies import LINES, WEEK, Copy
from testing.buckets import T, event
from testing.revisions import change, one


def stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "where",
    ["write_manifest", "write_views", "_record", "remove_old_files", "delete_changed_days", "_write_rows"],
)
def test_a_refresh_that_is_stopped_is_completed_by_the_next(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    copy.partition()
    copy.revisions.put(1, *LINES)
    copy.refresh()
    copy.revisions.put(2, event("came", "bob", T + WEEK))
    copy.revisions.put(1, *LINES[1:])
    with monkeypatch.context() as patched:
        patched.setattr(refreshing, where, stop)
        with pytest.raises(KeyboardInterrupt):
            copy.refresh()
    for path in [file.path for file in copy.manifest.files if file.path]:
        assert pq.read_metadata(copy.folder / path).num_rows
    copy.refresh()
    copy.assert_complete()
    assert set(copy.manifest.paths("events")) <= copy.files()


def _refresh_forever(database: str, lake: Path) -> None:
    while True:
        refreshing.refresh(Warehouse(database_url(database)).engine, Lake(lake), lake / "columnar", again=True)


def test_readers_see_a_complete_copy_whenever_a_refresh_is_killed(copy: Copy, database: str) -> None:
    copy.partition()
    copy.revisions.put(1, *LINES)
    copy.refresh()
    expected = {table: copy.rows(table) for table in ("events", "properties", "users")}
    for moment in range(3):
        process = get_context("spawn").Process(target=_refresh_forever, args=(database, copy.lake.root))
        process.start()
        before = copy.manifest.id
        while process.is_alive() and read_manifest(copy.folder) and copy.manifest.id == before:
            process.join(0.02 * (moment + 1))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert {table: copy.rows(table) for table in expected} == expected
    copy.refresh()
    copy.assert_complete()
    assert copy.files() >= set(copy.manifest.paths("events"))


def test_two_refreshes_at_once_wait_for_each_other(copy: Copy) -> None:
    copy.partition()
    copy.revisions.put(1, *LINES)
    threads = [threading.Thread(target=copy.refresh, kwargs={"again": True}) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    copy.assert_complete()


def test_commits_that_the_server_lost_leave_the_copy(copy: Copy) -> None:
    copy.partition()
    copy.revisions.put(1, *LINES)
    copy.refresh()
    recorded = one(copy.engine, "SELECT manifest_id FROM columnar_copy")
    copy.revisions.put(2, event("came", "bob", T + 3 * WEEK))
    copy.refresh()
    # The server is as before the load, and as before the refresh recorded that it was done.
    change(
        copy.engine,
        "DELETE FROM events WHERE id >> 40 = 2",
        "DELETE FROM revisions WHERE revision = 2",
        f"UPDATE columnar_copy SET manifest_id = 0x{recorded.hex()}",  # noqa: S608 - hexadecimal
    )
    copy.refresh()
    copy.assert_complete()


def test_a_restored_backup_makes_the_copy_new(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    change(copy.engine, "UPDATE columnar_copy SET manifest_id = REPEAT('x', 16)", "DELETE FROM events")
    assert copy.status().next_step == "`kmdb columnar rebuild`"
    copy.refresh()
    copy.assert_complete()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 0}'])
def test_a_damaged_manifest_makes_the_copy_new(copy: Copy, content: str) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    (copy.folder / MANIFEST).write_text(content)
    copy.refresh()
    copy.assert_complete()


def test_a_file_that_is_missing_or_cut_is_written_again(copy: Copy) -> None:
    copy.partition()
    copy.revisions.put(1, *LINES)
    copy.refresh()
    missing, cut, _ = copy.manifest.paths("events")
    (copy.folder / missing).unlink()
    (copy.folder / cut).write_bytes(b"PAR1")
    assert compare_with_ledger(copy.folder, copy.manifest).unreadable == 2
    copy.refresh()
    copy.assert_complete()


def test_leftovers_of_a_killed_refresh_are_removed(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    leftover = copy.folder / "facts" / "events-20140401-abc.parquet"
    leftover.write_bytes(b"half")
    copy.refresh()
    assert not leftover.exists()


def test_a_full_disk_leaves_the_previous_copy_and_no_files(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    before, files = copy.manifest, copy.files()
    copy.revisions.put(2, event("came", "bob"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(PermanentError, match="KMDB_COLUMNAR_URL"):
            copy.refresh()
    assert (copy.manifest, copy.files()) == (before, files)
    copy.refresh()
    copy.assert_complete()
