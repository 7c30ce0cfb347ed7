"""Old runs are purged from Dagster's history, and what was materialized stays."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import func, select

from kmdb_dagster.dagster_ext.asset_keys import REVISION_ASSETS
from kmdb_dagster.dagster_ext.backfills import request_range
from kmdb_dagster.dagster_ext.history_comparison import compare
from kmdb_dagster.dagster_ext.history_purge import EVENTS, Purged, purge_history
from kmdb_dagster.dagster_ext.import_requests import REQUESTED_CONTENT
from kmdb_dagster.defs.resources import Kmdb
from testing.buckets import FolderOfRevisions, event
from testing.databases import empty_database
from testing.runs import import_range, leave_a_run, run_job

LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture(params=["sqlite", "mysql"])
def history(request: pytest.FixtureRequest, tmp_path: Path, server_url: str) -> Iterator[dg.DagsterInstance]:
    """An instance with the storage of the shipped dagster.yaml: runs in files of their own, or in MySQL."""
    storage = {"module": "kmdb_dagster.dagster_ext.history_storage", "class": "History"}
    if request.param == "sqlite":
        config = {"base_dir": str(tmp_path / "history")}
        with dg.instance_for_test({"storage": {"custom": {**storage, "config": config}}}) as made:
            yield made
        return
    with empty_database(server_url) as url:
        config = {"mysql_url": url.replace("mysql://", "mysql+mysqldb://")}
        with dg.instance_for_test({"storage": {"custom": {**storage, "config": config}}}) as made:
            yield made


def purge(instance: dg.DagsterInstance, before: datetime = LATER, *, dry_run: bool = False) -> Purged:
    return purge_history(instance, before, dry_run=dry_run, report=lambda *_: None)


def events(instance: dg.DagsterInstance) -> int:
    storage: Any = instance.event_log_storage
    with storage.index_connection() as connection:
        return int(connection.execute(select(func.count(EVENTS.id))).scalar_one())


def test_old_runs_go_and_the_ui_counts_the_same_partitions_and_nothing_is_imported_again(
    history: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two batches of runs, and several reads of events in each.
    monkeypatch.setattr("kmdb_dagster.dagster_ext.history_purge.RUNS_PER_TRANSACTION", 2)
    monkeypatch.setattr("kmdb_dagster.dagster_ext.history_purge.EVENTS_PER_READ", 7)
    for revision in range(1, 5):
        bucket.put(revision, event("visited site"))
    for first, last in ((1, 2), (3, 4), (2, 3)):
        assert import_range(history, kmdb, first, last).success
    backfill = request_range(history, kmdb, 1, 2).id
    before = {key: history.get_materialized_partitions(key) for key in REVISION_ASSETS}
    latest = {key: history.get_latest_materialization_event(key) for key in REVISION_ASSETS}
    assert purge(history, dry_run=True) == Purged(3, 0)
    assert history.get_runs_count() == 3
    assert purge(history) == Purged(3, 0)
    assert (history.get_runs_count(), events(history)) == (0, 4 * len(REVISION_ASSETS))
    assert {key: history.get_materialized_partitions(key) for key in REVISION_ASSETS} == before
    assert {key: history.get_latest_materialization_event(key) for key in REVISION_ASSETS} == latest
    with kmdb.warehouse() as warehouse:
        assert compare(history, warehouse, None).unrecorded == []
    assert history.get_backfill(backfill)
    assert purge(history) == Purged(0, 0)


def test_runs_that_are_younger_or_active_or_hold_a_range_back_stay(
    history: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions
) -> None:
    bucket.put(1, event("visited site"))
    import_range(history, kmdb, 1, 1)
    assert purge(history, datetime.now(UTC) - timedelta(days=1)) == Purged(0, 0)
    leave_a_run(history, dg.DagsterRunStatus.STARTED, {})
    leave_a_run(history, dg.DagsterRunStatus.CANCELED, {REQUESTED_CONTENT: "1..1"})
    leave_a_run(history, dg.DagsterRunStatus.CANCELED, {})
    backfill = request_range(history, kmdb, 1, 1).id
    leave_a_run(history, dg.DagsterRunStatus.SUCCESS, {"dagster/backfill": backfill})
    assert purge(history) == Purged(2, 0)
    statuses = sorted(run.status.value for run in history.get_runs())
    assert statuses == ["CANCELED", "STARTED", "SUCCESS"]


def test_the_job_counts_and_deletes_only_if_it_is_told_to(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(1, event("visited site"))
    import_range(instance, kmdb, 1, 1)
    monkeypatch.setattr("kmdb_dagster.defs.jobs.history.timedelta", lambda **_: timedelta(days=-1))
    assert run_job(instance, "purge_history").success
    assert instance.get_runs_count() == 2
    config = {"ops": {"purge_old_runs": {"config": {"dry_run": False}}}}
    assert run_job(instance, "purge_history", config).success
    assert [run.job_name for run in instance.get_runs()] == ["purge_history"]
