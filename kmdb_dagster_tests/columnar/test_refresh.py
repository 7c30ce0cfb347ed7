"""The columnar copy has what the tables have, is written where something changed, and survives whatever stops it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from kmdb_dagster.columnar import folder as folders
from kmdb_dagster.columnar import manifest as manifests
from kmdb_dagster.columnar import refresh as refreshing
from kmdb_dagster.columnar import snapshot
from kmdb_dagster.columnar.status import compare_with_ledger
from kmdb_dagster.warehouse.identity.rebuild import realias
from kmdb_dagster.warehouse.ledger import changed_days
from kmdb_dagster.warehouse.ledger.changed_days import compact_changed_days
from kmdb_dagster.warehouse.maintenance.flush import flush
from kmdb_dagster.warehouse.maintenance.retention import apply_drop, read_drop
from kmdb_dagster_tests.columnar.copies import LINES, WEEK, Copy
from testing.buckets import T, alias, event
from testing.revisions import change, one

SECOND_WEEK = datetime.fromtimestamp(T + WEEK, UTC).date()


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


def test_a_missing_fact_is_found_by_the_comparison_with_the_ledger(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    assert compare_with_ledger(copy.folder, copy.manifest).agrees
    change(copy.engine, "DELETE FROM events WHERE id >> 40 = 1 LIMIT 1")
    copy.refresh(again=True)
    found = compare_with_ledger(copy.folder, copy.manifest)
    assert (found.agrees, found.rows["events"], found.ledger["events"]) == (False, 2, 3)
