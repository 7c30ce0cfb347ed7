"""Plans of time partitions, applied on a server."""

from datetime import date
from threading import Thread

import pytest
from sqlalchemy import Engine

from kmdb_dagster.errors import SettingsError
from kmdb_dagster.warehouse.connection import server
from kmdb_dagster.warehouse.maintenance.time_partitions import (
    PARTITIONED_TABLES,
    apply_plans,
    covered_until,
    plan_all,
    read_partitions,
)
from testing.buckets import alias, event
from testing.revisions import Revisions, change, content, one, wait_until

TODAY = date(2014, 3, 1)
APRIL_15 = 1397577453
DAY = 86400
WAITING = "SELECT COUNT(*) FROM INFORMATION_SCHEMA.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata lock%'"


def partition(
    engine: Engine, max_date: date | None = date(2014, 5, 1), min_date: date | None = date(2014, 4, 1)
) -> int:
    plans = plan_all(engine, min_date=min_date, max_date=max_date, days=10, today=TODAY)
    return len(apply_plans(engine, plans))


def names(engine: Engine, table: str) -> list[str]:
    with engine.connect() as connection:
        return [found.name for found in read_partitions(connection) if found.table == table]


def rows_in(engine: Engine, table: str) -> dict[str, int]:
    return {
        name: one(engine, f"SELECT COUNT(*) FROM {table} PARTITION ({name})")  # noqa: S608 - ours
        for name in names(engine, table)
    }


def covered(engine: Engine) -> date | None:
    with engine.connect() as connection:
        return covered_until(read_partitions(connection))


@pytest.mark.parametrize("table", PARTITIONED_TABLES)
def test_a_new_table_has_only_the_overflow_partition(engine: Engine, table: str) -> None:
    assert names(engine, table) == ["future"]
    assert covered(engine) is None


@pytest.mark.parametrize("table", PARTITIONED_TABLES)
def test_planned_partitions_round_trip_through_the_server(engine: Engine, table: str) -> None:
    assert partition(engine) == 3
    assert names(engine, table) == ["past", "p20140401", "p20140411", "p20140421", "future"]
    assert covered(engine) == date(2014, 5, 1)


def test_applying_plans_again_does_nothing(engine: Engine) -> None:
    partition(engine)
    assert partition(engine, min_date=date(2012, 1, 1)) == 0


def test_later_partitions_are_added_up_to_the_new_max_date(engine: Engine) -> None:
    partition(engine)
    assert partition(engine, max_date=date(2014, 5, 15), min_date=None) == 3
    assert names(engine, "events")[-4:] == ["p20140421", "p20140501", "p20140511", "future"]
    assert covered(engine) == date(2014, 5, 21)


def test_the_default_max_date_is_ninety_days_ahead(engine: Engine) -> None:
    partition(engine, max_date=None)
    assert covered(engine) == date(2014, 5, 31)


def test_an_invalid_plan_changes_no_table(engine: Engine) -> None:
    with pytest.raises(SettingsError):
        partition(engine, max_date=date(2014, 1, 1))
    assert names(engine, "events") == ["future"]


def test_rows_of_the_overflow_move_into_new_partitions(engine: Engine, revisions: Revisions) -> None:
    times = [APRIL_15 - 100 * DAY, APRIL_15 - 10 * DAY, APRIL_15, APRIL_15 + 5 * DAY, APRIL_15 + 100 * DAY]
    lines = [line for t in times for line in (event("came", t=t, plan="pro"), alias("a", "b", t=t))]
    revisions.put(1, *lines)
    before = content(engine)
    partition(engine)
    assert content(engine) == before
    for table in PARTITIONED_TABLES:
        assert rows_in(engine, table) == {"past": 1, "p20140401": 1, "p20140411": 2, "p20140421": 0, "future": 1}


def test_a_revision_is_replaced_in_any_partition(engine: Engine, revisions: Revisions) -> None:
    lines = [event("came", t=APRIL_15 + days * DAY, plan="pro") for days in (-100, -10, 0, 100)]
    partition(engine)
    revisions.put(1, *lines)
    before = content(engine)
    revisions.put(1, event("went", t=APRIL_15 + 5 * DAY))
    assert one(engine, "SELECT COUNT(*) FROM events") == 1
    revisions.put(1, *lines)
    assert content(engine) == before


def test_partitioning_waits_for_open_transactions(engine: Engine) -> None:
    with engine.begin() as writing:
        writing.exec_driver_sql("INSERT INTO events VALUES (1, '2014-04-15', 1, 1, 1)")
        thread = Thread(target=partition, args=(engine,))
        thread.start()
        wait_until(lambda: one(engine, WAITING))
    thread.join()
    assert one(engine, "SELECT COUNT(*) FROM events PARTITION (p20140411)") == 1


WAITING = "SELECT COUNT(*) FROM INFORMATION_SCHEMA.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata lock%'"


def test_the_bounds_are_days_in_utc(engine: Engine) -> None:
    partition(engine)
    change(
        engine,
        "INSERT INTO events VALUES (1, '2014-04-10 23:59:59', 1, 1, 1), (2, '2014-04-11 00:00:00', 1, 1, 1)",
    )
    assert one(engine, "SELECT id FROM events PARTITION (p20140401)") == 1
    assert one(engine, "SELECT id FROM events PARTITION (p20140411)") == 2


def test_statements_do_not_queue_behind_ddl_that_waits_for_a_table(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "DDL_LOCK_TIMEOUT_SECONDS", 1)
    with engine.connect() as load, engine.connect() as merge:
        load.exec_driver_sql("SELECT COUNT(*) FROM aliases")
        maker = Thread(target=partition, args=[engine])
        maker.start()
        wait_until(lambda: one(engine, WAITING))
        # Were it to wait for the partitions, and the load then for it, they would wait for each other.
        assert merge.exec_driver_sql("SELECT COUNT(*) FROM aliases").scalar() == 0
        assert maker.is_alive()
        assert "future" in names(engine, "aliases")[0]
        wait_until(lambda: "waited too long for a lock" in caplog.text)
    maker.join()
    assert covered(engine) == date(2014, 5, 1)
