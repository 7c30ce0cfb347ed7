"""The columnar copy has what the tables have, is written where something changed, and survives whatever stops it."""

import os
import signal
import stat
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kmdb_dagster.columnar import folder as folders
from kmdb_dagster.columnar import manifest as manifests
from kmdb_dagster.columnar import refresh as refreshing
from kmdb_dagster.columnar import snapshot
from kmdb_dagster.columnar.manifest import MANIFEST, read_manifest
from kmdb_dagster.columnar.status import compare_with_ledger
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.bindings import known_folders
from kmdb_dagster.warehouse.connection.server import named_lock, transaction
from kmdb_dagster.warehouse.identity.rebuild import realias
from kmdb_dagster.warehouse.ledger import changed_days
from kmdb_dagster.warehouse.ledger.changed_days import REFRESH_LOCK, compact_changed_days, record_changed_days
from kmdb_dagster.warehouse.maintenance.flush import flush
from kmdb_dagster.warehouse.maintenance.retention import apply_drop, read_drop
from kmdb_dagster_tests.columnar.copies import WEEK, Copy
from testing.buckets import T, alias, event, property_set
from testing.revisions import change, one

SECOND_WEEK = datetime.fromtimestamp(T + WEEK, UTC).date()
LINES = (
    event("came", "bob", T, plan="pro", city="Łódź"),
    event("went", "anna", T + WEEK),
    event("came", "anna", T + 2 * WEEK, plan=""),
    property_set("bob", T + 1, sex="m"),
    alias("bob", "b2"),
)


def test_the_copy_has_every_row_of_the_tables(copy: Copy) -> None:
    copy.partition()
    copy.revisions.put(1, *LINES)
    done = copy.refresh()
    copy.assert_complete()
    assert done.rows_written == 3 + 4 + 5 + 3 + 3
    assert len(copy.manifest.paths("events")) == 3
    assert one(copy.engine, "SELECT COUNT(*) FROM changed_days") == 0


def test_an_empty_warehouse_has_an_empty_copy(copy: Copy) -> None:
    copy.refresh()
    copy.assert_complete()


def test_rows_before_and_after_all_partitions_are_copied(copy: Copy) -> None:
    copy.partition()
    copy.revisions.put(1, event("came", "bob", 1), event("came", "bob", 253_402_300_799))
    copy.refresh()
    copy.assert_complete()


def test_only_time_partitions_with_changes_are_written_again(copy: Copy) -> None:
    copy.partition()
    copy.revisions.put(1, *LINES)
    copy.refresh()
    before = copy.manifest
    copy.revisions.put(2, event("came", "bob", T + WEEK + 60))
    assert not copy.status().is_current
    copy.refresh()
    copy.assert_complete()
    new = {(file.table, file.bounds.start) for file in copy.manifest.files if file.path and file not in before.files}
    changed = next(file.bounds for file in copy.manifest.files if SECOND_WEEK in file.bounds)
    assert new == {("events", changed.start)}


def test_a_refresh_without_a_change_writes_nothing(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    before = copy.manifest
    assert copy.refresh().files_written == 0
    assert copy.manifest == before


def test_a_reload_takes_facts_away_from_the_days_where_they_were(copy: Copy) -> None:
    copy.partition()
    copy.revisions.put(1, *LINES)
    copy.refresh()
    copy.revisions.put(1, event("came", "bob", T + 3 * WEEK))
    copy.refresh()
    copy.assert_complete()


def test_a_merge_of_people_writes_no_facts_again(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    facts = copy.manifest.paths("events") + copy.manifest.paths("properties")
    copy.revisions.put(2, alias("anna", "bob"))
    copy.refresh()
    copy.assert_complete()
    assert copy.manifest.paths("events") + copy.manifest.paths("properties") == facts


def test_names_are_written_where_some_are_new_or_have_another_person(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "IDS_PER_FILE", 4)
    monkeypatch.setattr(refreshing, "IDS_READ_AGAIN", 1)
    copy.revisions.put(1, *(event("came", f"person {number}") for number in range(40)))
    copy.refresh()
    before = copy.manifest
    copy.revisions.put(2, event("went", "new"), alias("person 0", "person 1"))
    copy.refresh()
    copy.assert_complete()
    new = [file for file in copy.manifest.files if file not in before.files and file.table != "events"]
    assert {file.table for file in new} == {"keys", "users", "user_map"}
    for table in ("keys", "users", "user_map"):
        # The last range of ids, the next one if it is full, and for the map that of the merged identity.
        assert sum(file.table == table for file in new) <= 3
    assert len(copy.manifest.paths("users")) == len(copy.manifest.paths("user_map")) >= 10


def test_many_merged_identities_are_recorded_as_all_names(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    copy.revisions.put(1, *(event("came", f"person {number}") for number in range(9)))
    copy.refresh()
    copy.revisions.put(2, *(alias("person 0", f"person {number}") for number in range(1, 8)))
    monkeypatch.setattr(changed_days, "MAX_ROWS", 4)
    compact_changed_days(copy.engine)
    assert one(copy.engine, "SELECT COUNT(*) FROM changed_days WHERE identity_id IS NULL AND day IS NULL") == 1
    copy.refresh()
    copy.assert_complete()


def test_an_unmerge_and_a_realias_reach_the_map_of_the_copy(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    copy.revisions.put(1, *LINES[:-1])
    copy.refresh()
    copy.assert_complete()
    change(copy.engine, "UPDATE user_map SET user_id = 1")
    realias(copy.engine, copy.warehouse.generation())
    copy.refresh()
    copy.assert_complete()


def test_time_partitions_that_are_added_split_the_copy(copy: Copy) -> None:
    copy.partition(date(2014, 4, 8))
    copy.revisions.put(1, *LINES)
    copy.refresh()
    copy.partition()
    copy.refresh()
    copy.assert_complete()
    assert len(copy.manifest.paths("events")) == 3


def test_a_flush_makes_the_copy_new(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    flush(copy.engine)
    copy.revisions.put(1, event("came", "zoe"))
    assert copy.status().next_step == "`kmdb columnar rebuild`"
    copy.refresh()
    copy.assert_complete()
    assert copy.manifest.previous is None


def test_dropped_facts_leave_the_copy(copy: Copy) -> None:
    copy.partition()
    copy.revisions.put(1, *LINES)
    copy.refresh()
    apply_drop(copy.engine, read_drop(copy.engine, SECOND_WEEK))
    assert not copy.status().is_current
    copy.refresh()
    copy.assert_complete()
    assert compare_with_ledger(copy.folder, copy.manifest).agrees


def test_a_load_that_is_not_committed_stays_recorded(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    with copy.engine.connect() as load:
        record_changed_days(load, [date(2014, 4, 9)])
        copy.revisions.put(2, event("came", "bob"))
        copy.refresh()
        load.commit()
    assert one(copy.engine, "SELECT COUNT(*) FROM changed_days") == 1
    assert not copy.status().is_current


def test_loads_record_changed_days_without_waiting_for_each_other(copy: Copy) -> None:
    with copy.engine.connect() as one_load, copy.engine.connect() as other_load:
        for load in (one_load, other_load):
            load.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 1")
            record_changed_days(load, [date(2014, 4, 9)])
        one_load.commit()
        other_load.commit()
    assert one(copy.engine, "SELECT COUNT(*) FROM changed_days") == 2


def test_a_load_that_fails_records_nothing(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    with copy.engine.connect() as load:
        record_changed_days(load, [date(2014, 4, 9)])
        load.rollback()
    assert copy.status().is_current


@pytest.fixture
def limit_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than four rows are many."""
    monkeypatch.setattr(changed_days, "MAX_ROWS", 4)


@pytest.mark.usefixtures("limit_of_rows")
def test_changed_days_are_deleted_while_there_is_no_copy(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    compact_changed_days(copy.engine)
    assert one(copy.engine, "SELECT COUNT(*) FROM changed_days") == 4
    copy.revisions.put(2, *LINES)
    compact_changed_days(copy.engine)
    assert one(copy.engine, "SELECT COUNT(*) FROM changed_days") == 0
    copy.refresh()
    copy.assert_complete()


@pytest.mark.usefixtures("limit_of_rows")
def test_a_copy_that_is_not_refreshed_keeps_each_changed_day_once(copy: Copy) -> None:
    copy.partition()
    copy.revisions.put(1, *LINES)
    copy.refresh()
    for revision in (2, 3):
        copy.revisions.put(revision, *LINES)
    compact_changed_days(copy.engine)
    assert one(copy.engine, "SELECT COUNT(*) FROM changed_days") == 3
    copy.refresh()
    copy.assert_complete()


@pytest.mark.usefixtures("limit_of_rows")
def test_changed_days_are_not_deleted_during_a_refresh(copy: Copy) -> None:
    copy.revisions.put(1, *LINES, *LINES)
    copy.revisions.put(2, *LINES)
    with named_lock(copy.engine, REFRESH_LOCK, 0):
        compact_changed_days(copy.engine)
    assert one(copy.engine, "SELECT COUNT(*) FROM changed_days") == 7


def stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "where",
    ["write_manifest", "write_views", "_delete_changes", "remove_old_files", "delete_changed_days", "_write_rows"],
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


def test_the_copy_is_of_one_moment_while_a_load_commits(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    copy.partition()
    copy.revisions.put(1, *LINES)
    write: Callable[..., int] = refreshing._write_rows  # noqa: SLF001 - to load in the middle
    loads = iter([2])

    def load_then_write(*arguments: object) -> int:
        for revision in loads:
            copy.revisions.put(revision, event("came", "new person", T), event("came", "new person", T + 3 * WEEK))
        return write(*arguments)

    monkeypatch.setattr(refreshing, "_write_rows", load_then_write)
    copy.refresh()
    assert (copy.manifest.rows("events"), copy.manifest.state.events, copy.manifest.rows("users")) == (3, 3, 3)
    copy.refresh()
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


def test_replaced_files_stay_for_readers_and_then_go(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    old = set(copy.manifest.paths("events"))
    copy.revisions.put(2, event("came", "bob"))
    copy.refresh()
    assert old < copy.files()
    later = manifests.new_time() + timedelta(hours=2)
    monkeypatch.setattr(folders, "new_time", lambda: later)
    copy.refresh()
    assert not old & copy.files()
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


def test_names_of_people_are_apart_and_for_this_user_only(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    modes = {path.relative_to(copy.folder): stat.S_IMODE(path.stat().st_mode) for path in copy.folder.rglob("*")}
    (users,) = copy.manifest.paths("users")
    assert modes[Path(users)] == 0o600
    assert modes[Path(users).parent] == 0o700
    assert modes[Path("people/people.sql")] == 0o600
    for path in (*copy.folder.glob("facts/*"), copy.folder / MANIFEST, copy.folder / "facts.sql"):
        assert b"anna" not in path.read_bytes()


def test_a_copy_in_another_folder_is_refused_until_it_is_moved(copy: Copy, tmp_path: Path) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    other = tmp_path / "other"
    with pytest.raises(PermanentError, match="kmdb columnar rebuild") as caught:
        refreshing.refresh(copy.engine, copy.lake, other)
    assert str(copy.folder) in str(caught.value)
    refreshing.refresh(copy.engine, copy.lake, other, again=True)
    with pytest.raises(PermanentError, match=str(other)):
        copy.refresh()


def test_a_copy_of_another_database_is_refused(copy: Copy) -> None:
    copy.refresh()
    mark = copy.folder / "kmdb-folder.json"
    with transaction(copy.engine) as connection:
        (here, *_) = [known.id for known in known_folders(connection) if known.path == str(copy.folder)]
    mark.write_text(f'{{"folder": "{here.hex()}", "database": "{"00" * 16}"}}')
    with pytest.raises(PermanentError, match="another database"):
        copy.refresh()


def test_a_missing_fact_is_found_by_the_comparison_with_the_ledger(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    assert compare_with_ledger(copy.folder, copy.manifest).agrees
    change(copy.engine, "DELETE FROM events WHERE id >> 40 = 1 LIMIT 1")
    copy.refresh(again=True)
    found = compare_with_ledger(copy.folder, copy.manifest)
    assert (found.agrees, found.rows["events"], found.ledger["events"]) == (False, 2, 3)
