"""The sensor requests ranges again after killed and transient runs, and leaves others to the operator."""

import time
from collections.abc import Mapping

import dagster as dg
import pytest

from kmdb_dagster.dagster_ext.backfills import request_range
from kmdb_dagster.dagster_ext.partition_registry import register
from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START
from kmdb_dagster.dagster_ext.run_retries import MAX_PAUSE_SECONDS, MAX_RUNS, pause_seconds, transient_tags
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.maintenance.flush import flush
from testing.buckets import FolderOfRevisions
from testing.runs import leave_a_run
from testing.sensor_ticks import Watch, fill, range_of


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
