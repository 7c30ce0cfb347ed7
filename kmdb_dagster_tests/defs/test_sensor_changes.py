"""The sensor requests changed and late revisions, and names missing ones."""

import os
import time

import dagster as dg
import pytest

from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from testing.buckets import FolderOfRevisions, event
from testing.runs import leave_a_run
from testing.sensor_ticks import Watch, fill, range_of


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


def test_a_touched_file_with_the_same_content_changes_nothing(
    watch: Watch, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    fill(bucket, 1)
    watch.carry_out(*watch.tick()[0])
    os.utime(bucket.folder / "revisions" / "1.json", (1, 1))
    watch.pass_an_hour()
    watch.carry_out(*watch.tick()[0])
    assert ledger.totals(warehouse.engine).events == 1
