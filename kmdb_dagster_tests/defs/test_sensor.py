"""The sensor requests new revisions: ranges, limits, lookahead, settings."""

import dagster as dg
import pytest
from sqlalchemy import text

from kmdb_dagster.dagster_ext.partition_registry import PARTITIONS_NAME, register
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.sensors.alerts import alerts
from kmdb_dagster.defs.sensors.new_revisions import new_revisions
from kmdb_dagster.defs.sensors.unrecorded_revisions import unrecorded_revisions
from kmdb_dagster.source import FolderBucket
from kmdb_dagster.warehouse import Warehouse
from testing.buckets import FolderOfRevisions
from testing.sensor_ticks import CountingBucket, HugeBucket, Watch, fill, range_of


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
