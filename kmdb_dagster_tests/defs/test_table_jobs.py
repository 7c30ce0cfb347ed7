"""The jobs `partition_tables` and `drop_partitions`, and the schedule of the first."""

from collections import Counter
from datetime import date

import dagster as dg
import pytest

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.schedules import cover_the_future
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.maintenance.time_partitions import read_partitions
from testing.buckets import FolderOfRevisions, T, event
from testing.runs import failure_of, import_range, output_metadata, run_job


@pytest.fixture
def _dates(kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch) -> None:
    del kmdb
    monkeypatch.setenv("KMDB_MIN_DATE", "2014-04-01")
    monkeypatch.setenv("KMDB_MAX_DATE", "2014-06-01")


def partitions_of(warehouse: Warehouse) -> Counter[str]:
    with warehouse.engine.connect() as connection:
        return Counter(partition.table for partition in read_partitions(connection))


@pytest.mark.usefixtures("_dates")
def test_a_dry_run_of_partition_tables_is_readable_and_changes_nothing(
    instance: dg.DagsterInstance, warehouse: Warehouse, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KMDB_DAYS_PER_PARTITION", "1")
    bucket.put(1, event("visited site"))
    before = partitions_of(warehouse)
    result = run_job(instance, "partition_tables")
    shown = output_metadata(result)
    assert set(shown) == {"dry_run", "to_add", "advice"}
    assert shown["dry_run"] is True
    rows = [record.data for record in shown["to_add"].records]
    assert rows[0] == {
        "table": "events",
        "existing": 1,
        "added": 62,
        "first": "past",
        "last": "p20140531",
        "covered_until": "2014-06-01",
    }
    assert [row["table"] for row in rows] == ["events", "properties", "aliases"]
    assert "a partition. KMDB_DAYS_PER_PARTITION=365 would do" in shown["advice"]
    lines = [entry.user_message for entry in instance.all_logs(result.run_id) if not entry.is_dagster_event]
    named = "past (before 2014-04-01), p20140401 (before 2014-04-02), …, p20140531 (before 2014-06-01)"
    assert f"events: 62 partitions to add: {named}." in lines
    assert max(map(len, lines)) < 200
    assert partitions_of(warehouse) == before


@pytest.mark.usefixtures("_dates")
def test_partition_tables_shows_the_statements_on_request(instance: dg.DagsterInstance) -> None:
    config = {"ops": {"add_partitions": {"config": {"sql": True}}}}
    assert (
        "ALTER TABLE events REORGANIZE" in output_metadata(run_job(instance, "partition_tables", config))["statements"]
    )


@pytest.mark.usefixtures("_dates")
def test_the_nightly_schedule_adds_partitions_once(instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
    with dg.build_schedule_context(instance=instance) as context:
        (request,) = cover_the_future.evaluate_tick(context).run_requests or []
    before = partitions_of(warehouse)
    first = output_metadata(run_job(instance, "partition_tables", request.run_config))
    assert first["dry_run"] is False
    after = partitions_of(warehouse)
    assert after["events"] - before["events"] >= 8
    again = output_metadata(run_job(instance, "partition_tables", request.run_config))
    assert [record.data["added"] for record in again["added"].records] == [0, 0, 0]
    assert partitions_of(warehouse) == after


@pytest.mark.usefixtures("_dates")
def test_drop_partitions_shows_old_facts_and_drops_them_on_request(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(instance, "partition_tables", {"ops": {"add_partitions": {"config": {"dry_run": False}}}})
    bucket.put(1, event("came", t=T - 10 * 86400, plan="pro"), event("went"))
    import_range(instance, kmdb, 1, 1)
    assert failure_of(run_job(instance, "drop_partitions")).count("KMDB_KEEP_DAYS is not set.")
    monkeypatch.setenv("KMDB_KEEP_DAYS", "1")
    monkeypatch.setattr("kmdb_dagster.defs.jobs.tables.today", lambda: date(2014, 4, 16))
    shown = output_metadata(run_job(instance, "drop_partitions"))
    records = [record.data for record in shown["to_drop"].records]
    assert [record["partition"] for record in records] == ["past", "p20140401", "p20140408"]
    assert all(record["events_bytes"] > 0 for record in records)
    assert (shown["dry_run"], shown["facts_kept_from"]) == (True, "2014-04-15")
    options = {"dry_run": False, "before": "2014-04-15"}
    for typed in ({}, {"confirm": ""}, {"confirm": "yes"}, {"confirm": "other_database"}):
        config = {"ops": {"drop_old_partitions": {"config": {**options, **typed}}}}
        with kmdb.warehouse() as warehouse:
            assert f"`confirm: {warehouse.database}`" in failure_of(run_job(instance, "drop_partitions", config))
        assert output_metadata(run_job(instance, "drop_partitions"))["to_drop"].records == shown["to_drop"].records
    config = {"ops": {"drop_old_partitions": {"config": {**options, "confirm": warehouse.database}}}}
    assert output_metadata(run_job(instance, "drop_partitions", config))["dropped"].records
    assert run_job(instance, "check_everything", only="import_report").success
    nothing = output_metadata(run_job(instance, "drop_partitions"))
    assert (nothing["facts_kept_from"], nothing["to_drop"].records) == ("as before", [])
    import_range(instance, kmdb, 1, 1)
    with kmdb.warehouse() as warehouse:
        assert ledger.totals(warehouse.engine).events == 1
    config = {"ops": {"drop_old_partitions": {"config": {"before": "last year"}}}}
    assert "Expected a day, e.g. 2024-01-01." in failure_of(run_job(instance, "drop_partitions", config))
