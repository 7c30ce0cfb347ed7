"""Loads record the days that they change, and a refresh deletes the records that the copy has."""

from datetime import date

import pytest

from kmdb_dagster.warehouse.connection.server import named_lock
from kmdb_dagster.warehouse.ledger import changed_days
from kmdb_dagster.warehouse.ledger.changed_days import REFRESH_LOCK, compact_changed_days, record_changed_days
from kmdb_dagster_tests.columnar.copies import LINES, Copy
from testing.buckets import event
from testing.revisions import one


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
