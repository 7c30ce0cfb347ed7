"""Jobs that an operator or a schedule starts."""

from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from kmdb_dagster.dagster_ext.backfills import backfill_outcome, request_outstanding
from kmdb_dagster.dagster_ext.partition_registry import PARTITIONS_NAME, register
from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.ledger.changed_revisions import read_changes
from testing.buckets import FolderOfRevisions, alias, event
from testing.runs import failure_of, import_range, leave_a_run, output_metadata, run_job

FIVE = ("raw_revisions", "parsed_events", "user_map", "events", "properties")


def typed(first: object, last: object) -> dict[str, Any]:
    """What an operator types into the Launchpad."""
    return {"ops": {"request_backfill": {"config": {"first": first, "last": last}}}}


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
    assert output_metadata(result) == {"backfill": f"/runs/b/{backfill.backfill_id}", "revisions": "2..5", "count": 4}
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
    assert output_metadata(result)["identities_moved"] > 0
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
        shown = output_metadata(run_job(instance, "realias", config))
        assert shown == {"dry_run": True, "identities_to_move": 2, "people": 1, "people_then": 3}
    assert output_metadata(run_job(instance, "realias"))["identities_moved"] == 2


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
