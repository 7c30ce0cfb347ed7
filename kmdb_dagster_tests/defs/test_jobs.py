"""Jobs that an operator or a schedule starts."""

from collections import Counter
from datetime import date
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from kmdb_dagster.dagster_ext.backfills import backfill_outcome, request_outstanding
from kmdb_dagster.dagster_ext.partition_registry import PARTITIONS_NAME, register
from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.schedules import cover_the_future
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.ledger.changed_revisions import read_changes
from kmdb_dagster.warehouse.maintenance.time_partitions import read_partitions
from testing.buckets import FolderOfRevisions, T, alias, event
from testing.runs import failure_of, import_range, leave_a_run, run_job

FIVE = ("raw_revisions", "parsed_events", "user_map", "events", "properties")


def typed(first: object, last: object) -> dict[str, Any]:
    """What an operator types into the Launchpad."""
    return {"ops": {"request_backfill": {"config": {"first": first, "last": last}}}}


def told(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The metadata of the one output of a run."""
    (event,) = (event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_OUTPUT)
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def fill(bucket: FolderOfRevisions, *revisions: int) -> None:
    for number in revisions:
        bucket.put(number, event("visited site"))


def test_a_typed_range_becomes_a_backfill_of_exactly_these_revisions(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions
) -> None:
    del kmdb
    fill(bucket, 1, 2, 3, 5, 6)
    result = run_job(instance, "import_range", typed(2, 5))
    (backfill,) = instance.get_backfills()
    assert told(result) == {"backfill": f"/runs/b/{backfill.backfill_id}", "revisions": "2..5", "count": 4}
    assert backfill.title == "revisions 2..5"
    assert list(instance.get_dynamic_partitions(PARTITIONS_NAME)) == ["1", "2", "3", "4", "5", "6"]
    assert backfill_outcome(instance, backfill.backfill_id) is None
    wanted = backfill.asset_backfill_data
    assert wanted is not None
    keys = {key.to_user_string() for key in wanted.target_subset.asset_keys}
    assert keys == set(FIVE)
    for asset in FIVE:
        subset = wanted.target_subset.get_partitions_subset(dg.AssetKey(asset))
        assert set(subset.get_partition_keys()) == {"2", "3", "4", "5"}


@pytest.mark.usefixtures("kmdb")
@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (3, 1, "The range 3..1 is the wrong way round. Give the lower number first."),
        (1, 3, "The range 1..3 reaches beyond the bucket, which has revisions 2 to 4."),
        (2, 9, "The range 2..9 reaches beyond the bucket, which has revisions 2 to 4."),
    ],
)
def test_an_invalid_range_is_an_error_with_the_remedy(
    first: int, last: int, words: str, instance: dg.DagsterInstance, bucket: FolderOfRevisions
) -> None:
    fill(bucket, 2, 3, 4)
    assert words in failure_of(run_job(instance, "import_range", typed(first, last)))
    assert not instance.get_backfills()


def test_an_empty_bucket_has_no_range(instance: dg.DagsterInstance, kmdb: Kmdb) -> None:
    del kmdb
    assert "which has no revisions at all" in failure_of(run_job(instance, "import_range", typed(1, 1)))


def test_the_launchpad_takes_numbers_only(instance: dg.DagsterInstance) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match='not valid for expected type "Int"'):
        run_job(instance, "import_range", typed(1, "five"))


@pytest.mark.parametrize(("last", "words"), [(0, "greater than or equal to 1"), (2**23, "less than or equal")])
def test_an_invalid_revision_number_is_refused(last: int, words: str, instance: dg.DagsterInstance) -> None:
    assert words in failure_of(run_job(instance, "import_range", typed(1, last)))


def test_outstanding_revisions_are_requested_by_a_backfill(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    fill(bucket, 1, 2, 3, 4, 5)
    import_range(instance, kmdb, 1, 3)
    bucket.put(2, event("signed up"), event("visited site"))
    ledger.record_failure(warehouse.engine, 3, "raw_revisions: it is broken")
    register(instance, warehouse, 1, 5)
    leave_a_run(instance, dg.DagsterRunStatus.STARTED, {RANGE_START: "4", RANGE_END: "4"})
    assert request_outstanding(instance, kmdb).revisions == [2, 3, 5]


def test_the_job_import_outstanding_requests_one_titled_backfill(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    fill(bucket, 1, 2, 3, 4)
    import_range(instance, kmdb, 1, 3)
    ledger.record_failure(warehouse.engine, 2, "raw_revisions: it is broken")
    result = run_job(instance, "import_outstanding")
    assert result.success
    (backfill,) = instance.get_backfills()
    assert backfill.title == "outstanding revisions: 2, 4"
    (materialized,) = result.get_asset_materialization_events()
    metadata = materialized.step_materialization_data.materialization.metadata
    assert {name: value.value for name, value in metadata.items()} == {
        "backfill": f"/runs/b/{backfill.backfill_id}",
        "revisions": "2, 4",
        "count": 2,
    }


def test_the_job_import_outstanding_requests_nothing_if_nothing_is_outstanding(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions
) -> None:
    fill(bucket, 1)
    import_range(instance, kmdb, 1, 1)
    result = run_job(instance, "import_outstanding")
    assert result.success
    assert not instance.get_backfills()
    assert any("Nothing is outstanding" in str(entry) for entry in instance.all_logs(result.run_id))


def test_nothing_is_requested_when_all_is_imported(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions
) -> None:
    assert request_outstanding(instance, kmdb).revisions == []
    fill(bucket, 1, 3)
    import_range(instance, kmdb, 1, 3)
    assert request_outstanding(instance, kmdb).revisions == []
    assert not instance.get_backfills()


def test_scattered_revisions_are_requested_with_what_is_between_them(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    fill(bucket, *range(1, 10))
    import_range(instance, kmdb, 1, 9)
    fill(bucket, 10)
    ledger.record_failure(warehouse.engine, 4, "raw_revisions: it is broken")
    bucket.put(7, event("signed up"), event("visited site"))
    assert request_outstanding(instance, kmdb).revisions == [4, 7, 10]
    (backfill,) = instance.get_backfills()
    assert backfill.title == "outstanding revisions: 4, 7, 10"
    assert backfill.asset_backfill_data is not None
    subset = backfill.asset_backfill_data.target_subset.get_partitions_subset(dg.AssetKey("events"))
    assert sorted(subset.get_partition_keys(), key=int) == [str(number) for number in range(4, 11)]
    assert request_outstanding(instance, kmdb).revisions == []


def test_scan_bucket_registers_what_is_new_observes_the_bucket_and_remembers_what_changed(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    fill(bucket, 1, 2)
    import_range(instance, kmdb, 1, 2)
    fill(bucket, 4)
    bucket.put(2, event("signed up"), event("visited site"))
    result = run_job(instance, "scan_bucket")
    assert result.success
    assert any(
        "The sensor new_revisions requests what is new" in str(entry) for entry in instance.all_logs(result.run_id)
    )
    (event_of_run,) = (e for e in result.all_events if e.event_type == dg.DagsterEventType.ASSET_OBSERVATION)
    observed = event_of_run.asset_observation_data.asset_observation
    assert observed.asset_key == dg.AssetKey("kissmetrics_bucket")
    assert {
        name: observed.metadata[name].value for name in ("revisions", "newest", "gaps", "new", "changed_revisions")
    } == {
        "revisions": 3,
        "newest": 4,
        "gaps": "3",
        "new": 2,
        "changed_revisions": "2",
    }
    assert list(instance.get_dynamic_partitions(PARTITIONS_NAME)) == ["1", "2", "3", "4"]
    assert list(read_changes(warehouse.engine)) == [2]


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
    fill(bucket, 1)
    before = partitions_of(warehouse)
    result = run_job(instance, "partition_tables")
    shown = told(result)
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
    assert "ALTER TABLE events REORGANIZE" in told(run_job(instance, "partition_tables", config))["statements"]


@pytest.mark.usefixtures("_dates")
def test_the_nightly_schedule_adds_partitions_once(instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
    with dg.build_schedule_context(instance=instance) as context:
        (request,) = cover_the_future.evaluate_tick(context).run_requests or []
    before = partitions_of(warehouse)
    first = told(run_job(instance, "partition_tables", request.run_config))
    assert first["dry_run"] is False
    after = partitions_of(warehouse)
    assert after["events"] - before["events"] >= 8
    again = told(run_job(instance, "partition_tables", request.run_config))
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
    shown = told(run_job(instance, "drop_partitions"))
    records = [record.data for record in shown["to_drop"].records]
    assert [record["partition"] for record in records] == ["past", "p20140401", "p20140408"]
    assert all(record["events_bytes"] > 0 for record in records)
    assert (shown["dry_run"], shown["facts_kept_from"]) == (True, "2014-04-15")
    options = {"dry_run": False, "before": "2014-04-15"}
    for typed in ({}, {"confirm": ""}, {"confirm": "yes"}, {"confirm": "other_database"}):
        config = {"ops": {"drop_old_partitions": {"config": {**options, **typed}}}}
        with kmdb.warehouse() as warehouse:
            assert f"`confirm: {warehouse.database}`" in failure_of(run_job(instance, "drop_partitions", config))
        assert told(run_job(instance, "drop_partitions"))["to_drop"].records == shown["to_drop"].records
    config = {"ops": {"drop_old_partitions": {"config": {**options, "confirm": warehouse.database}}}}
    assert told(run_job(instance, "drop_partitions", config))["dropped"].records
    assert run_job(instance, "check_everything", only="import_report").success
    nothing = told(run_job(instance, "drop_partitions"))
    assert (nothing["facts_kept_from"], nothing["to_drop"].records) == ("as before", [])
    import_range(instance, kmdb, 1, 1)
    with kmdb.warehouse() as warehouse:
        assert ledger.totals(warehouse.engine).events == 1
    config = {"ops": {"drop_old_partitions": {"config": {"before": "last year"}}}}
    assert "Expected a day, e.g. 2024-01-01." in failure_of(run_job(instance, "drop_partitions", config))


def test_the_job_realias_applies_aliases_that_were_added_by_hand(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    bucket.put(1, event("visited site", "anon="), event("signed up", "bob@example.com"), alias("anon=", "x"))
    import_range(instance, kmdb, 1, 1)
    with warehouse.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE aliases SET name2 = 'bob@example.com', "
                "identity2_id = (SELECT id FROM users WHERE name = 'bob@example.com')"
            )
        )
    result = run_job(instance, "realias")
    assert result.success
    assert told(result)["identities_moved"] > 0
    with warehouse.engine.connect() as connection:
        assert connection.execute(text("SELECT COUNT(DISTINCT user_id) FROM events")).scalar_one() == 1


def test_a_dry_run_of_realias_counts_and_changes_nothing(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    bucket.put(1, event("came", "a"), event("came", "b"), alias("a", "guest"), alias("b", "guest"))
    import_range(instance, kmdb, 1, 1)
    with warehouse.engine.begin() as connection:
        connection.execute(text("INSERT INTO placeholder_identities (name) VALUES ('guest')"))
    config = {"ops": {"rebuild_user_map": {"config": {"dry_run": True}}}}
    for _ in range(2):
        shown = told(run_job(instance, "realias", config))
        assert shown == {"dry_run": True, "identities_to_move": 2, "people": 1, "people_then": 3}
    assert told(run_job(instance, "realias"))["identities_moved"] == 2


@pytest.mark.usefixtures("kmdb")
def test_the_error_is_the_first_line_of_a_failure(instance: dg.DagsterInstance) -> None:
    result = run_job(instance, "import_range", typed(3, 1))
    (error,) = (event.step_failure_data.error for event in result.all_events if event.is_step_failure)
    assert error is not None
    assert error.message.startswith("dagster._core.definitions.events.Failure: The range 3..1 is the wrong way round.")


def test_people_with_many_identities_are_erased_after_confirmation(
    instance: dg.DagsterInstance, kmdb: Kmdb, warehouse: Warehouse
) -> None:
    del kmdb
    assert run_job(instance, "forget").success
    for typed, success in (({}, False), ({"confirm": "yes"}, False), ({"confirm": warehouse.database}, True)):
        config = {"ops": {"remove_people": {"config": {"large": True, **typed}}}}
        result = run_job(instance, "forget", config)
        assert result.success is success
        assert success or f"type the database's name into the run's configuration: `confirm: {warehouse.database}`" in (
            failure_of(result)
        )
