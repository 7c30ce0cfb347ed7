"""The sensor requests each new or changed revision once."""

import os
import time
from collections.abc import Mapping

import dagster as dg
import pytest
from sqlalchemy import text

from kmdb_dagster.dagster_ext.backfills import request_range
from kmdb_dagster.dagster_ext.partition_registry import PARTITIONS_NAME, register
from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START
from kmdb_dagster.dagster_ext.run_retries import MAX_PAUSE_SECONDS, MAX_RUNS, pause_seconds, transient_tags
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.sensors.alerts import alerts
from kmdb_dagster.defs.sensors.new_revisions import new_revisions
from kmdb_dagster.defs.sensors.unrecorded_revisions import unrecorded_revisions
from kmdb_dagster.source import FolderBucket
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.maintenance.flush import flush
from testing.buckets import FolderOfRevisions, event
from testing.runs import leave_a_run
from testing.sensor_ticks import CountingBucket, HugeBucket, Watch, range_of


@pytest.fixture
def watch(instance: dg.DagsterInstance, kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The sensor."""
    return Watch(instance, kmdb, monkeypatch)


def fill(bucket: FolderOfRevisions, *revisions: int) -> None:
    for number in revisions:
        bucket.put(number, event("visited site"))


def test_the_first_tick_requests_ranges_of_the_size_of_a_run(
    watch: Watch, bucket: FolderOfRevisions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KMDB_REVISIONS_PER_RUN", "3")
    fill(bucket, 2, 3, 4, 5, 8)
    assert watch.ranges() == ["2..4", "5..7", "8..8"]
    assert list(instance.get_dynamic_partitions(PARTITIONS_NAME)) == [str(number) for number in range(2, 9)]


def test_no_more_runs_than_there_is_room_for(
    watch: Watch, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KMDB_REVISIONS_PER_RUN", "1")
    monkeypatch.setenv("KMDB_RUNS_AHEAD", "2")
    fill(bucket, 1, 2, 3)
    requests, _ = watch.tick()
    assert [range_of(request) for request in requests] == ["1..1", "2..2"]
    watch.carry_out(*requests)
    assert watch.ranges() == ["3..3"]


def test_a_bucket_of_fifty_thousand_files_is_requested_in_order_and_a_few_runs_at_a_time(
    watch: Watch, bucket: FolderOfRevisions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = HugeBucket(FolderBucket(bucket.folder), 50_000)
    monkeypatch.setattr(Kmdb, "bucket", lambda _: huge)
    requests, _ = watch.tick()
    assert [range_of(request) for request in requests] == [f"{n}..{n + 199}" for n in range(1, 2000, 200)]
    assert list(instance.get_dynamic_partitions(PARTITIONS_NAME)) == [str(number) for number in range(1, 50_001)]


def test_a_tick_without_anything_new_has_a_reason(watch: Watch, bucket: FolderOfRevisions) -> None:
    fill(bucket, 1, 2, 4, 9)
    (bucket.folder / "revisions" / "007.json").touch()
    (bucket.folder / "status.csv").write_text("total_revisions,exported_revisions\n12,9\n")
    watch.carry_out(*watch.tick()[0])
    watch.pass_an_hour()
    requests, words = watch.tick()
    assert requests == []
    assert words == (
        f"{bucket.folder}: Latest known revision: 9. Missing in it: 3, 5..8. "
        "Rename the files to import to `revisions/N.json`, and move the others to another bucket. Seen and not read: "
        "1 object (revisions/007.json). KissMetrics has 3 more to export. "
        "4 imported, 0 still to be imported, 0 failed, 0 runs active. Requested 0 runs."
    )


def test_unread_objects_are_named_in_each_listing_tick_and_stored_for_the_alert(
    watch: Watch, bucket: FolderOfRevisions
) -> None:
    fill(bucket, 1)
    old = bucket.folder / "2011" / "Jan" / "2011-01-01.json"
    old.parent.mkdir(parents=True)
    old.touch()
    watch.carry_out(*watch.tick()[0])
    assert "2011/Jan/2011-01-01.json" in watch.noted().unread
    assert "2011" not in watch.tick()[1]
    assert "2011/Jan/2011-01-01.json" in watch.noted().unread
    old.unlink()
    watch.pass_an_hour()
    watch.tick()
    assert watch.noted().unread == ""


def test_an_empty_bucket_is_not_an_error(watch: Watch) -> None:
    requests, words = watch.tick()
    assert requests == []
    assert "It has no revisions (yet)." in words


def test_a_revision_after_the_watermark_is_found_at_once(watch: Watch, bucket: FolderOfRevisions) -> None:
    fill(bucket, 1)
    watch.carry_out(*watch.tick()[0])
    fill(bucket, 2, 5)
    assert watch.ranges() == ["2..5"]


def test_a_revision_beyond_the_lookahead_is_found_within_an_hour(watch: Watch, bucket: FolderOfRevisions) -> None:
    fill(bucket, 1)
    watch.carry_out(*watch.tick()[0])
    fill(bucket, 12)
    assert watch.ranges() == []
    watch.pass_an_hour()
    assert watch.ranges() == ["2..12"]


def test_a_changed_file_is_requested_again(
    watch: Watch, bucket: FolderOfRevisions, instance: dg.DagsterInstance
) -> None:
    fill(bucket, 1, 2, 3)
    watch.carry_out(*watch.tick()[0])
    bucket.put(2, event("signed up"), event("visited site"))
    assert watch.ranges() == []
    watch.pass_an_hour()
    requests, _ = watch.tick()
    assert [range_of(request) for request in requests] == ["2..2"]
    # Asked for in vain, it is still said to be changed.
    leave_a_run(instance, dg.DagsterRunStatus.CANCELED, dict(requests[0].tags))
    watch.pass_an_hour()
    assert "Changed since they were imported: 2." in watch.tick()[1]
    watch.carry_out(*requests)
    watch.pass_an_hour()
    assert watch.ranges() == []


def import_all(watch: Watch, bucket: FolderOfRevisions, *revisions: int) -> None:
    fill(bucket, *revisions)
    watch.carry_out(*watch.tick()[0])


def change(bucket: FolderOfRevisions, *revisions: int) -> None:
    for number in revisions:
        bucket.put(number, event("signed up"), event("visited site"))


def test_more_changes_than_there_is_room_for_are_remembered_and_requested_as_room_appears(
    watch: Watch, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_all(watch, bucket, *range(1, 8))
    monkeypatch.setenv("KMDB_REVISIONS_PER_RUN", "1")
    monkeypatch.setenv("KMDB_RUNS_AHEAD", "2")
    change(bucket, 1, 3, 4, 6, 7)
    watch.pass_an_hour()
    asked = []
    for left in (5, 3, 1):
        requests, _ = watch.tick()
        assert watch.noted().left == left
        asked += [range_of(request) for request in requests]
        watch.carry_out(*requests)
    assert asked == ["1..1", "3..3", "4..4", "6..6", "7..7"]
    assert watch.ranges() == []
    assert watch.noted().left == 0


def test_late_files_in_a_large_gap_are_all_requested(
    watch: Watch, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_all(watch, bucket, 1, 9)
    monkeypatch.setenv("KMDB_REVISIONS_PER_RUN", "2")
    monkeypatch.setenv("KMDB_RUNS_AHEAD", "1")
    fill(bucket, *range(2, 9))
    watch.pass_an_hour()
    asked = []
    while requests := watch.tick()[0]:
        asked += [range_of(request) for request in requests]
        watch.carry_out(*requests)
    assert asked == ["2..3", "4..5", "6..7", "8..8"]


def test_scattered_changes_are_requested_with_what_is_between_them_and_cost_few_runs(
    watch: Watch, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_all(watch, bucket, *range(1, 101))
    monkeypatch.setenv("KMDB_REVISIONS_PER_RUN", "40")
    change(bucket, *range(1, 56, 3), 97)
    watch.pass_an_hour()
    requests, _ = watch.tick()
    assert [range_of(request) for request in requests] == ["1..40", "43..55", "97..97"]
    watch.carry_out(*requests)
    assert watch.ranges() == []


def test_a_hole_is_not_bridged_where_a_revision_failed_or_is_missing_from_the_bucket(
    watch: Watch, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    import_all(watch, bucket, *range(1, 10))
    ledger.record_failure(warehouse.engine, 3, "events and properties: it does not fit")
    (bucket.folder / "revisions" / "7.json").unlink()
    change(bucket, 1, 5, 9)
    watch.pass_an_hour()
    assert watch.ranges() == ["1..1", "5..5", "9..9"]
    assert watch.ranges() == ["1..1", "5..5", "9..9"]


def test_a_changed_file_that_fails_is_not_requested_again_until_it_changes_again(
    watch: Watch, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    import_all(watch, bucket, 1, 2)
    bucket.put(2, b"<html>\n" * 200)
    watch.pass_an_hour()
    requests, _ = watch.tick()
    time.sleep(1)  # the server's clock has seconds
    watch.carry_out(*requests)
    assert [number for number, _ in ledger.failures(warehouse.engine)] == [2]
    assert watch.ranges() == []
    assert watch.noted().left == 0
    watch.pass_an_hour()
    assert watch.ranges() == []
    change(bucket, 2)
    watch.pass_an_hour()
    watch.carry_out(*watch.tick()[0])
    assert ledger.failures(warehouse.engine) == []


def test_new_revisions_come_before_changed_ones_and_have_room_of_their_own(
    watch: Watch, bucket: FolderOfRevisions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_all(watch, bucket, *range(1, 8))
    monkeypatch.setenv("KMDB_REVISIONS_PER_RUN", "1")
    monkeypatch.setenv("KMDB_RUNS_AHEAD", "2")
    change(bucket, 1, 3, 5, 7)
    watch.pass_an_hour()
    requests, _ = watch.tick()
    assert [range_of(request) for request in requests] == ["1..1", "3..3"]
    for request in requests:
        leave_a_run(instance, dg.DagsterRunStatus.STARTED, dict(request.tags))
    assert watch.ranges() == []
    fill(bucket, 8)
    (new,), _ = watch.tick()
    assert (range_of(new), new.tags["dagster/priority"]) == ("8..8", "1")
    assert "dagster/priority" not in requests[0].tags


def test_a_listing_is_an_observation_of_the_bucket(watch: Watch, bucket: FolderOfRevisions) -> None:
    import_all(watch, bucket, 1, 2, 4)
    change(bucket, 2)
    watch.pass_an_hour()
    (observed,) = watch.observe()
    assert {name: value.value for name, value in observed.metadata.items() if name != "bucket"} == {
        "revisions": 3,
        "bytes": sum(path.stat().st_size for path in (bucket.folder / "revisions").iterdir()),
        "bytes_of_a_revision": sum(path.stat().st_size for path in (bucket.folder / "revisions").iterdir()) // 3,
        "newest": 4,
        "gaps": "3",
        "new": 0,
        "changed": 1,
        "changed_revisions": "2",
        "failed": 0,
        "missing": 0,
        "not_yet_exported": 0,
        "index_csv": "agrees with the files",
        "not_read": "none",
    }
    assert watch.observe() == []


def test_a_missing_file_is_named_and_its_rows_are_kept(
    watch: Watch, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    fill(bucket, 1, 2, 4)
    watch.carry_out(*watch.tick()[0])
    (bucket.folder / "revisions" / "2.json").unlink()
    watch.pass_an_hour()
    requests, words = watch.tick()
    assert requests == []
    assert "Imported before and now missing from the bucket: 2. Their facts are kept." in words
    assert ledger.totals(warehouse.engine).events == 3


def test_a_late_arrival_in_a_gap_is_requested(watch: Watch, bucket: FolderOfRevisions) -> None:
    fill(bucket, 1, 3)
    watch.carry_out(*watch.tick()[0])
    fill(bucket, 2)
    watch.pass_an_hour()
    assert watch.ranges() == ["2..2"]


def test_a_failed_revision_is_not_requested_again(
    watch: Watch, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    fill(bucket, 1, 2, 3)
    ledger.record_failure(warehouse.engine, 2, "raw_revisions: it is broken")
    requests, _ = watch.tick()
    assert [range_of(request) for request in requests] == ["1..1", "3..3"]
    watch.carry_out(*requests)
    watch.pass_an_hour()
    requests, words = watch.tick()
    assert requests == []
    assert "2 imported, 0 still to be imported, 1 failed" in words


def test_a_killed_range_is_requested_again_a_limited_number_of_times(
    watch: Watch, bucket: FolderOfRevisions, instance: dg.DagsterInstance
) -> None:
    fill(bucket, 1, 2)
    keys = set()
    for _ in range(MAX_RUNS):
        (request,), _ = watch.tick()
        assert range_of(request) == "1..2"
        keys.add(request.run_key)
        leave_a_run(instance, dg.DagsterRunStatus.FAILURE, dict(request.tags))
    assert len(keys) == MAX_RUNS
    requests, words = watch.tick()
    assert requests == []
    assert "Runs over 1..2 ended early and are not requested again" in words


def leave_a_transient_run(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> None:
    """A run that ended because the server was unavailable, and the one that Dagster started in its place."""
    for inherited in ({}, {"kmdb/ended_transient": "the id of the run before"}):
        run = leave_a_run(instance, dg.DagsterRunStatus.FAILURE, {**tags, **inherited})
        instance.add_run_tags(run.run_id, transient_tags(run))


def test_a_range_is_requested_again_while_a_server_is_unavailable(
    watch: Watch, bucket: FolderOfRevisions, instance: dg.DagsterInstance
) -> None:
    fill(bucket, 1, 2)
    for _ in range(2 * MAX_RUNS):
        (request,), _ = watch.tick()
        leave_a_transient_run(instance, request.tags)
        watch.set_clock(time.time() + 1)
        requests, words = watch.tick()
        assert requests == []
        assert "Runs over 1..2 met an unavailable server" in words
        watch.set_clock(time.time() + MAX_PAUSE_SECONDS + 1)
    assert watch.ranges() == ["1..2"]


def test_runs_that_were_killed_count_even_if_the_run_before_them_ended_as_transient(
    watch: Watch, bucket: FolderOfRevisions, instance: dg.DagsterInstance
) -> None:
    fill(bucket, 1, 2)
    (request,), _ = watch.tick()
    for _ in range(MAX_RUNS):
        tags = {**request.tags, "kmdb/ended_transient": "the id of the run before"}
        leave_a_run(instance, dg.DagsterRunStatus.FAILURE, tags)
    assert "Runs over 1..2 ended early" in watch.tick()[1]


def test_pauses_after_transient_runs_grow_to_a_quarter_of_an_hour() -> None:
    assert [pause_seconds(runs) for runs in (0, 1, 2, 3, 4, 5, 5000)] == [0, 60, 120, 240, 480, 900, 900]


def test_a_canceled_range_is_left_to_the_operator_and_takes_no_slot(
    watch: Watch, bucket: FolderOfRevisions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KMDB_REVISIONS_PER_RUN", "1")
    monkeypatch.setenv("KMDB_RUNS_AHEAD", "1")
    fill(bucket, 1, 2)
    (request,), _ = watch.tick()
    leave_a_run(instance, dg.DagsterRunStatus.CANCELED, dict(request.tags))
    requests, _ = watch.tick()
    assert [range_of(request) for request in requests] == ["2..2"]
    watch.carry_out(*requests)
    requests, words = watch.tick()
    assert requests == []
    assert "Runs over 1 ended early and are not requested again: run import_outstanding." in words


def test_a_range_has_the_same_run_key_until_a_flush(
    watch: Watch, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    fill(bucket, 1, 2)
    (listed,), _ = watch.tick()
    (looked_ahead,), _ = watch.tick()
    watch.pass_an_hour()
    (listed_again,), _ = watch.tick()
    assert listed.run_key == looked_ahead.run_key == listed_again.run_key
    watch.carry_out(listed)
    assert watch.ranges() == []
    flush(warehouse.engine)
    (after,), _ = watch.tick()
    assert range_of(after) == "1..2"
    assert after.run_key != listed.run_key


def test_revisions_of_an_active_run_are_not_requested_again(
    watch: Watch, bucket: FolderOfRevisions, instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    fill(bucket, 1, 2, 3, 4, 5)
    register(instance, warehouse, 1, 5)
    leave_a_run(instance, dg.DagsterRunStatus.NOT_STARTED, {RANGE_START: "1", RANGE_END: "2"})
    leave_a_run(instance, dg.DagsterRunStatus.STARTED, {"dagster/partition": "4"})
    assert watch.ranges() == ["3..3", "5..5"]


def test_it_goes_on_with_numbers_beyond_an_active_backfill(
    watch: Watch, bucket: FolderOfRevisions, instance: dg.DagsterInstance, kmdb: Kmdb
) -> None:
    fill(bucket, 1, 2, 3)
    request_range(instance, kmdb, 1, 2)
    requests, _ = watch.tick()
    assert [range_of(request) for request in requests] == ["3..3"]
    assert watch.noted().left == 3


def test_what_an_active_backfill_takes_is_not_requested_and_said(
    watch: Watch, bucket: FolderOfRevisions, instance: dg.DagsterInstance, kmdb: Kmdb
) -> None:
    fill(bucket, 1, 2)
    request_range(instance, kmdb, 1, 2)
    requests, words = watch.tick()
    assert requests == []
    assert "A backfill over 2 revisions is active." in words


def test_all_missing_settings_are_reported_together_without_a_failure(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KMDB_LOCAL_BUCKET")
    assert watch.tick()[1].startswith("AWS_BUCKET is not set.")
    monkeypatch.delenv("DATABASE_URL")
    requests, words = watch.tick()
    assert requests == []
    assert words.startswith("DATABASE_URL is not set.")
    assert "AWS_BUCKET is not set." in words


@pytest.mark.usefixtures("kmdb")
@pytest.mark.parametrize("sensor", [new_revisions, unrecorded_revisions, alerts])
@pytest.mark.parametrize("has_settings", [True, False])
def test_every_tick_writes_its_words_to_its_log(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance, *, has_settings: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_settings:
        monkeypatch.delenv("DATABASE_URL")
    lines: list[str] = []
    context = dg.build_sensor_context(instance=instance, resources={"kmdb": Kmdb()}, sensor_name=sensor.name)
    monkeypatch.setattr(context.log, "info", lambda text, *_: lines.append(text))
    found = sensor(context)
    reason = found.skip_reason if isinstance(found, dg.SensorResult) else found
    assert isinstance(reason, dg.SkipReason)
    assert lines == [reason.skip_message]


def test_revisions_below_the_first_wanted_one_are_left_out(
    watch: Watch, bucket: FolderOfRevisions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, 1, 2, 3, 4)
    monkeypatch.setenv("KMDB_MIN_REVISION", "3")
    assert watch.ranges() == ["3..4"]
    assert list(instance.get_dynamic_partitions(PARTITIONS_NAME)) == ["3", "4"]


def test_a_tick_that_finds_nothing_new_asks_the_bucket_only_for_the_numbers_ahead(
    watch: Watch,
    bucket: FolderOfRevisions,
    instance: dg.DagsterInstance,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(bucket, 1)
    watch.tick()
    register(instance, warehouse, 1, 5000)
    with warehouse.engine.begin() as connection:
        rows = [{"revision": number} for number in range(1, 5001)]
        connection.execute(text("INSERT INTO revisions (revision, imported_at) VALUES (:revision, NOW())"), rows)
    counting = CountingBucket(FolderBucket(bucket.folder))
    monkeypatch.setattr(Kmdb, "bucket", lambda _: counting)
    monkeypatch.setenv("KMDB_REVISION_LOOKAHEAD", "13")
    assert watch.ranges() == []
    assert counting.requests == 13


def test_a_touched_file_with_the_same_content_changes_nothing(
    watch: Watch, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    fill(bucket, 1)
    watch.carry_out(*watch.tick()[0])
    os.utime(bucket.folder / "revisions" / "1.json", (1, 1))
    watch.pass_an_hour()
    watch.carry_out(*watch.tick()[0])
    assert ledger.totals(warehouse.engine).events == 1
