"""Retention drops whole partitions, keeps old facts out, and corrects the ledger, even if it is interrupted."""

from datetime import date, datetime
from threading import Thread

import pytest
from sqlalchemy import Engine

from kmdb_dagster.warehouse.ledger.reconciliation import Counts, Mismatch, reconcile, reconcile_all
from kmdb_dagster.warehouse.maintenance.retention import Drop, apply_drop, plan_drop, read_drop
from kmdb_dagster.warehouse.maintenance.time_partitions import Partition, apply_plans, plan_all
from testing.buckets import alias, event, property_set
from testing.revisions import (
    Revisions,
    change,
    locks_waited_for,
    one,
    people,
    rows,
    wait_until,
)

APRIL_15, DAY = 1397577453, 86400
TIMES = [APRIL_15 + days * DAY for days in (-20, -10, 0, 10)]
"""One in each partition: past, p20140401, p20140411 and p20140421."""

TABLES = ("events", "properties")
BOUNDS = [date(2014, 4, 1), date(2014, 4, 11), date(2014, 4, 21), date(2014, 5, 1), None]
LEDGER = "SELECT revision, events, property_sets, properties, t_min FROM revisions ORDER BY revision"


def partitions(table: str, *bounds: date | None) -> list[Partition]:
    return [Partition(table, f"p{bound or 'future'}", bound, 5, 10) for bound in bounds]


def planned(before: date, in_force: date | None = None, *, properties: int = 0) -> tuple[date | None, list[str]]:
    existing = [*partitions("events", *BOUNDS), *partitions("aliases", *BOUNDS)]
    drop = plan_drop([*existing, *partitions("properties", *BOUNDS[properties:])], before, in_force)
    return drop.day, [f"{part.table} {part.before}" for part in drop.partitions]


def test_a_drop_plans_the_partitions_that_hold_only_older_facts() -> None:
    gone = [f"{table} {day}" for table in TABLES for day in ("2014-04-01", "2014-04-11")]
    assert planned(date(2014, 4, 11)) == (date(2014, 4, 11), gone)
    assert planned(date(2014, 4, 20)) == (date(2014, 4, 11), gone)


def test_a_drop_plans_nothing_when_no_partition_is_old_enough() -> None:
    assert planned(date(2014, 3, 31)) == (None, [])


def test_a_drop_never_plans_the_last_bounded_partition() -> None:
    day, gone = planned(date(2099, 1, 1))
    assert day == date(2014, 4, 21)
    assert "events 2014-05-01" not in gone


def test_a_drop_interrupted_between_two_tables_is_planned_again() -> None:
    assert planned(date(2014, 4, 5), date(2014, 4, 11), properties=2) == (
        date(2014, 4, 11),
        ["events 2014-04-01", "events 2014-04-11"],
    )


@pytest.fixture
def kept(engine: Engine, revisions: Revisions) -> Drop:
    """Three revisions, wholly old, half old and new, in partitions of ten days; and the plan to drop what is old."""
    plans = plan_all(engine, min_date=date(2014, 4, 1), max_date=date(2014, 5, 1), days=10, today=date(2014, 3, 1))
    apply_plans(engine, plans)
    revisions.put(
        1, event("came", t=TIMES[0], plan="pro"), property_set(t=TIMES[1], sex="f"), alias("a", "b", TIMES[0])
    )
    revisions.put(2, event("came", t=TIMES[1], plan="pro"), event("went", t=TIMES[2], a="1", b="2"), *sets(TIMES))
    revisions.put(3, event("came", t=TIMES[3], plan="pro"))
    return read_drop(engine, date(2014, 4, 15))


def sets(times: list[int]) -> list[bytes]:
    return [property_set(t=t, sex="f", age="7") for t in times]


def days(engine: Engine, table: str) -> list[str]:
    return [str(day) for (day,) in rows(engine, f"SELECT DISTINCT DATE(t) FROM {table} ORDER BY 1")]  # noqa: S608 - ours


def test_a_drop_removes_old_facts_and_reduces_the_counts_of_the_ledger(engine: Engine, kept: Drop) -> None:
    assert kept.day == date(2014, 4, 11)
    before = people(engine), one(engine, "SELECT COUNT(*) FROM aliases")
    apply_drop(engine, kept)
    assert days(engine, "events") == days(engine, "properties") == ["2014-04-15", "2014-04-25"]
    assert (people(engine), one(engine, "SELECT COUNT(*) FROM aliases")) == before
    assert rows(engine, LEDGER) == [
        (1, 0, 0, 0, None),
        (2, 1, 2, 6, datetime(2014, 4, 11)),  # noqa: DTZ001 - as the server has it
        (3, 1, 0, 1, datetime(2014, 4, 25, 15, 57, 33)),  # noqa: DTZ001 - as the server has it
    ]
    assert reconcile(engine, [1, 2, 3]) == reconcile_all(engine) == []
    assert read_drop(engine, date(2014, 4, 15)) == Drop(None, ())


def test_dropped_facts_are_not_imported_again(engine: Engine, kept: Drop, revisions: Revisions) -> None:
    apply_drop(engine, kept)
    entry = revisions.put(2, event("came", t=TIMES[1], plan="pro"), event("went", t=TIMES[2], a="1"), *sets(TIMES))
    assert entry.adds_up
    assert (entry.imported, entry.ignored) == (3, 3)
    assert (entry.events, entry.property_sets, entry.properties) == (1, 2, 5)
    assert days(engine, "properties") == ["2014-04-15", "2014-04-25"]
    # Unless the operator says so.
    change(engine, "UPDATE warehouse_state SET facts_from = NULL")
    assert revisions.put(1, event("came", t=TIMES[0])).events == 1


def test_an_interrupted_drop_leaves_a_consistent_ledger_and_completes_when_run_again(
    engine: Engine, kept: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Drop, "statements", lambda _: ["KILL CONNECTION_ID()"])
        with pytest.raises(Exception, match="Database"):
            apply_drop(engine, kept)
    ledger = rows(engine, LEDGER)
    assert days(engine, "events")[0] == "2014-03-26"
    assert reconcile(engine, [1, 2, 3]) == []
    again = read_drop(engine, date(2014, 4, 15))
    assert again.day == kept.day
    apply_drop(engine, again)
    assert days(engine, "events")[0] == "2014-04-15"
    assert rows(engine, LEDGER) == ledger


def test_a_drop_waits_for_running_loads(engine: Engine, kept: Drop) -> None:
    with engine.begin() as loading:
        loading.exec_driver_sql("SELECT generation FROM warehouse_state LOCK IN SHARE MODE")
        thread = Thread(target=apply_drop, args=(engine, kept))
        thread.start()
        wait_until(lambda: locks_waited_for(engine))
        assert days(engine, "events")[0] == "2014-03-26"
    thread.join()
    assert days(engine, "events")[0] == "2014-04-15"


def test_extra_and_missing_rows_are_found_by_reconciliation(engine: Engine, kept: Drop) -> None:
    del kept
    change(
        engine,
        "DELETE FROM events WHERE id >> 40 = 2 ORDER BY id LIMIT 1",
        "INSERT INTO properties (id, t, `key`, value, user_id, identity_id) "
        "SELECT id + 7, '2014-04-28', `key`, value, user_id, identity_id FROM properties WHERE id >> 40 = 3",
        "INSERT INTO events SELECT id + (6 << 40), t, n, user_id, identity_id FROM events WHERE id >> 40 = 3",
    )
    lost = Mismatch(2, Counts(2, 11), Counts(1, 11))
    assert reconcile(engine, [1, 2, 3, 9]) == [lost]
    stray = [Mismatch(3, Counts(1, 1), Counts(1, 2)), Mismatch(9, Counts(0, 0), Counts(1, 0))]
    assert reconcile_all(engine) == [lost, *stray]
