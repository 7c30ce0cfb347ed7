"""Imported revisions that Dagster's history lacks are recorded there, and their alerts are resolved."""

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from kmdb_dagster.dagster_ext import revision_steps
from kmdb_dagster.dagster_ext.asset_keys import REVISION_ASSETS
from kmdb_dagster.dagster_ext.partition_registry import PARTITIONS_NAME, register
from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.sensors.unrecorded_revisions import unrecorded_revisions
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from testing.alert_receivers import Hook, serving
from testing.buckets import FolderOfRevisions, event
from testing.revisions import change
from testing.runs import import_range, leave_a_run, run_job
from testing.sensor_ticks import AlertTicks

EVENTS = dg.AssetKey("events")


def look(instance: dg.DagsterInstance, kmdb: Kmdb, cursor: str | None = None) -> tuple[str, str | None]:
    """What the sensor says, nothing if it asks for a run, and its cursor afterwards."""
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"kmdb": kmdb}, sensor_name="unrecorded_revisions"
    )
    found: Any = unrecorded_revisions(context)
    if isinstance(found, dg.SkipReason):
        return str(found.skip_message), cursor
    return str(found.skip_reason.skip_message) if found.skip_reason else "", found.cursor


def asks(instance: dg.DagsterInstance, kmdb: Kmdb) -> bool:
    """Whether it asks for a run."""
    return look(instance, kmdb)[0] == ""


def fill(bucket: FolderOfRevisions, revisions: Sequence[int]) -> None:
    for number in revisions:
        bucket.put(number, event("visited site", number=str(number)), event("visited site"))


@pytest.fixture
def lost(kmdb: Kmdb, bucket: FolderOfRevisions) -> Kmdb:
    """A warehouse with 2, 3 (which KM never wrote) and 4, imported under a history that was lost."""
    fill(bucket, [2, 4])
    with dg.DagsterInstance.ephemeral() as before:
        assert import_range(before, kmdb, 2, 4).success
    return kmdb


def test_a_lost_history_is_restored_for_every_asset_and_revision(instance: dg.DagsterInstance, lost: Kmdb) -> None:
    assert asks(instance, lost)
    assert run_job(instance, "record_loaded").success
    assert list(instance.get_dynamic_partitions(PARTITIONS_NAME)) == ["2", "3", "4"]
    materialized = [instance.get_materialized_partitions(key) for key in REVISION_ASSETS]
    assert materialized == [{"2", "3", "4"}] * 5
    assert not asks(instance, lost)


def test_recorded_materializations_have_the_counts_of_the_ledger(instance: dg.DagsterInstance, lost: Kmdb) -> None:
    del lost
    run_job(instance, "record_loaded")
    records = instance.fetch_materializations(dg.AssetRecordsFilter(EVENTS, asset_partitions=["4"]), limit=10).records
    (found,) = [record.asset_materialization for record in records]
    assert found
    assert found.description == "Recorded from the ledger: the revision was imported, and Dagster's history lacked it."
    counts = {name: value.value for name, value in found.metadata.items()}
    assert (counts["lines"], counts["dagster/partition_row_count"], counts["recorded_from"]) == (2, 2, "ledger")


def test_only_missing_materializations_are_recorded(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, [1, 2])
    import_range(instance, kmdb, 1, 1)
    with monkeypatch.context() as patch:
        patch.setattr(
            "kmdb_dagster.dagster_ext.revision_steps.record_materializations", _killed_before_recording("properties")
        )
        import_range(instance, kmdb, 2, 2)
    assert asks(instance, kmdb)
    result = run_job(instance, "record_loaded")
    told = [(event.asset_key, event.partition) for event in result.get_asset_materialization_events()]
    assert told == [(dg.AssetKey("events"), "2"), (dg.AssetKey("properties"), "2")]


def _killed_before_recording(asset: str) -> Any:
    record = revision_steps.record_materializations

    def record_others(context: Any, step: Any, *rest: Any) -> None:
        if asset not in step.name:
            record(context, step, *rest)

    return record_others


def test_failed_active_and_unwanted_revisions_are_not_recorded(
    instance: dg.DagsterInstance, lost: Kmdb, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.record_failure(warehouse.engine, 5, "raw_revisions: it is broken")
    monkeypatch.setenv("KMDB_MIN_REVISION", "3")
    register(instance, warehouse, 2, 5)
    leave_a_run(instance, dg.DagsterRunStatus.STARTED, {RANGE_START: "4", RANGE_END: "5"})
    run_job(instance, "record_loaded")
    assert instance.get_materialized_partitions(EVENTS) == {"3"}
    assert not asks(instance, lost)


def test_record_loaded_runs_one_at_a_time(
    instance: dg.DagsterInstance, lost: Kmdb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "get_runs", lambda *_, **__: [SimpleNamespace()])
    assert look(instance, lost)[0] == "A run of record_loaded is active."


def test_record_loaded_without_a_database_names_the_missing_setting(
    instance: dg.DagsterInstance, kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    assert "DATABASE_URL is not set" in look(instance, kmdb)[0]


def test_partitions_that_are_missing_are_registered_in_order(
    instance: dg.DagsterInstance, lost: Kmdb, warehouse: Warehouse
) -> None:
    del lost
    register(instance, warehouse, 4, 5)
    run_job(instance, "record_loaded")
    assert list(instance.get_dynamic_partitions(PARTITIONS_NAME)) == ["2", "3", "4", "5"]


def test_recording_a_revision_resolves_the_alert_of_its_killed_run(
    instance: dg.DagsterInstance,
    kmdb: Kmdb,
    bucket: FolderOfRevisions,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(bucket, [1, 2, 3])
    hook = Hook()
    teller = AlertTicks(instance, kmdb, monkeypatch)
    register(instance, warehouse, 1, 3)
    with serving(hook):
        leave_a_run(instance, dg.DagsterRunStatus.STARTED, {RANGE_START: "1", RANGE_END: "3"})
        (run,) = instance.get_runs()
        with dg.DagsterInstance.ephemeral() as elsewhere:
            import_range(elsewhere, kmdb, 1, 3)
        for key in (dg.AssetKey("events"), dg.AssetKey("properties")):
            for partition in ("1", "2"):
                done = dg.AssetMaterialization(key, partition=partition)
                instance.report_dagster_event(_materialized(run, done), run_id=run.run_id)
        instance.report_run_failed(run, "Its process is gone.")
        assert teller.tick(hook.url) == "Reported: kmdb: the import of revisions 1..3 failed."
        run_job(instance, "record_loaded")
        assert teller.tick(hook.url) == "Reported: kmdb: the import of revisions 1..3 recovered."


def _materialized(run: dg.DagsterRun, done: dg.AssetMaterialization) -> dg.DagsterEvent:
    from dagster._core.events import StepMaterializationData  # noqa: PLC0415, TID251 - what a run writes

    return dg.DagsterEvent(
        dg.DagsterEventType.ASSET_MATERIALIZATION.value,
        run.job_name,
        event_specific_data=StepMaterializationData(done),
        step_key="import_steps",
    )


def test_revisions_beyond_the_size_of_a_run_are_left_to_the_next(
    instance: dg.DagsterInstance, lost: Kmdb, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(warehouse.engine, "INSERT INTO revisions (revision, imported_at) VALUES (9, '2014-01-01')")
    monkeypatch.setattr("kmdb_dagster.defs.jobs.imports.MAX_REVISIONS_PER_RUN", 3)
    run_job(instance, "record_loaded")
    assert instance.get_materialized_partitions(EVENTS) == {"2", "3", "4"}
    run_job(instance, "record_loaded")
    assert instance.get_materialized_partitions(EVENTS) == {"2", "3", "4", "9"}
    assert len(instance.get_dynamic_partitions(PARTITIONS_NAME)) == 8
    assert not asks(instance, lost)


def test_only_revisions_imported_since_the_last_comparison_are_compared(
    instance: dg.DagsterInstance, lost: Kmdb, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(instance, "record_loaded")
    words, cursor = look(instance, lost)
    assert words == "Dagster's history has all 3 imported revisions."
    change(warehouse.engine, "UPDATE revisions SET imported_at = '2014-01-01' WHERE revision < 4")
    with monkeypatch.context() as patch:
        asked = instance.get_latest_storage_id_by_partition
        patch.setattr(instance, "get_materialized_partitions", None)
        looked_up: list[set[str]] = []

        def look_up(key: dg.AssetKey, kind: dg.DagsterEventType, partitions: set[str]) -> Any:
            looked_up.append(partitions)
            return asked(key, kind, partitions)

        patch.setattr(instance, "get_latest_storage_id_by_partition", look_up)
        assert look(instance, lost, cursor)[0] == words
        assert looked_up == [{"4"}]
    change(warehouse.engine, "INSERT INTO revisions (revision, imported_at) VALUES (5, UTC_TIMESTAMP())")
    assert look(instance, lost, cursor)[0] == ""


def test_many_revisions_are_compared_at_once(
    instance: dg.DagsterInstance, lost: Kmdb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kmdb_dagster.dagster_ext.history_comparison.MAX_LOOKED_UP", 2)
    monkeypatch.setattr(instance, "get_latest_storage_id_by_partition", None)
    assert asks(instance, lost)
    run_job(instance, "record_loaded")
    assert not asks(instance, lost)


def test_everything_is_compared_once_a_day(
    instance: dg.DagsterInstance, lost: Kmdb, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(instance, "record_loaded")
    _, cursor = look(instance, lost)
    change(warehouse.engine, "INSERT INTO revisions (revision, imported_at) VALUES (5, '2014-01-01')")
    assert look(instance, lost, cursor)[0] != ""
    for days in (2, -2):
        later = SimpleNamespace(time=lambda days=days: time.time() + days * 86400)
        monkeypatch.setattr("kmdb_dagster.defs.sensors.unrecorded_revisions.time", later)
        assert look(instance, lost, cursor)[0] == ""


def test_ledger_times_in_the_future_hide_nothing(
    instance: dg.DagsterInstance, lost: Kmdb, warehouse: Warehouse
) -> None:
    change(warehouse.engine, "UPDATE revisions SET imported_at = '2099-01-01' WHERE revision = 4")
    run_job(instance, "record_loaded")
    _, cursor = look(instance, lost)
    change(warehouse.engine, "INSERT INTO revisions (revision, imported_at) VALUES (5, UTC_TIMESTAMP())")
    assert look(instance, lost, cursor)[0] == ""


def test_revisions_of_an_active_run_are_compared_later(
    instance: dg.DagsterInstance, lost: Kmdb, warehouse: Warehouse
) -> None:
    register(instance, warehouse, 2, 4)
    leave_a_run(instance, dg.DagsterRunStatus.STARTED, {RANGE_START: "2", RANGE_END: "4"})
    _, cursor = look(instance, lost)
    instance.report_run_failed(instance.get_runs()[0], "Its process is gone.")
    assert look(instance, lost, cursor)[0] == ""


@pytest.mark.parametrize("cursor", ["57", "{}", "null", "no JSON", '{"imported": "3"}'])
def test_an_edited_cursor_leads_to_a_full_comparison(instance: dg.DagsterInstance, lost: Kmdb, cursor: str) -> None:
    assert look(instance, lost, cursor)[0] == ""
    run_job(instance, "record_loaded")
    assert look(instance, lost, cursor)[0].endswith("is treated as none.")
