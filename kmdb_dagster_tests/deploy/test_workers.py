"""The services of compose.yaml: two workers import a bucket concurrently, and one of them is killed."""

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest
import redis
from click.testing import CliRunner

from dev.processes import Process, wait_until
from kmdb_dagster.cli import main
from kmdb_dagster.cli.ui import configure
from kmdb_dagster.dagster_ext.asset_keys import RAW_REVISIONS
from kmdb_dagster.dagster_ext.instance import open_instance
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.sample import sample_revision
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from testing.buckets import FolderOfRevisions
from testing.compose import Composed, composed
from testing.databases import empty_database
from testing.revisions import content, misplaced
from testing.steps import fetch, load, parse, resolve

REVISIONS = range(1, 13)
PATIENCE = 120.0

SOONER = {
    "poll_interval_seconds: 60": "poll_interval_seconds: 2",
}


@pytest.fixture
def services(
    tmp_path: Path, server_url: str, redis_url: str, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Composed]:
    """The services of compose.yaml, not started yet, with databases of their own; and this test as one of them."""
    folder = tmp_path / "composed"
    folder.mkdir()
    with empty_database(server_url) as database, empty_database(server_url) as history:
        given = {
            "DATABASE_URL": database,
            "DAGSTER_MYSQL_URL": database_url(history).render_as_string(hide_password=False),
            "DAGSTER_REDIS_URL": redis_url,
            "KMDB_REDIS_URL": redis_url.replace("/0", "/1"),
            "KMDB_LOCAL_BUCKET": str(bucket.folder),
            "KMDB_REVISIONS_PER_RUN": "3",
        }
        with composed(folder, given, SOONER) as found:
            for name in ("DAGSTER_HOME", "DAGSTER_MYSQL_URL", "DAGSTER_REDIS_URL"):
                monkeypatch.setenv(name, found.environment("worker")[name])
            yield found


def import_plainly(kmdb: Kmdb) -> None:
    """One revision after another, in this process."""
    with kmdb.pipeline() as opened:
        for revision in REVISIONS:
            for step in (fetch, parse, resolve, load):
                step(opened, revision)


def kill(worker: Process) -> None:
    """As if its machine were gone: nothing of it says so to anybody."""
    os.killpg(worker.pid, signal.SIGKILL)


def runs(instance: dg.DagsterInstance, *statuses: dg.DagsterRunStatus) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(statuses=list(statuses)))


def first_at_work(instance: dg.DagsterInstance) -> bool:
    """Whether a run has begun with its revisions."""
    return bool(instance.get_materialized_partitions(RAW_REVISIONS))


def test_two_workers_with_one_killed_produce_the_same_tables_as_a_sequential_import(
    kmdb: Kmdb, warehouse: Warehouse, bucket: FolderOfRevisions, services: Composed
) -> None:
    for revision in REVISIONS:
        bucket.put(revision, sample_revision(revision, lines=400))
    services.run("migrate")
    services.start("code")
    workers = [services.start("worker", number) for number in (1, 2)]
    import_plainly(kmdb)
    assert wait_until(lambda: services.healthy("code"), PATIENCE)
    services.start("daemon")
    with open_instance() as instance:
        assert wait_until(lambda: len(runs(instance, dg.DagsterRunStatus.STARTED)) == len(workers), PATIENCE)
        kill(workers[1])
        assert wait_until(lambda: len(runs(instance, dg.DagsterRunStatus.SUCCESS)) == len(REVISIONS) // 3, PATIENCE)
        (lost,) = runs(instance, dg.DagsterRunStatus.FAILURE)
        assert instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": lost.run_id}))
        assert not runs(instance, dg.DagsterRunStatus.STARTED)
    assert services.healthy("daemon")
    reached = Warehouse(database_url(services.environment("worker")["DATABASE_URL"]))
    assert content(reached.engine) == content(warehouse.engine)
    assert misplaced(reached.engine) == 0
    reached.close()


def test_a_run_continues_after_redis_lost_its_task(
    bucket: FolderOfRevisions, services: Composed, redis_url: str
) -> None:
    for revision in REVISIONS[:3]:
        bucket.put(revision, sample_revision(revision, lines=6000))
    services.run("migrate")
    services.start("code")
    services.start("worker", 1)
    assert wait_until(lambda: services.healthy("code"), PATIENCE)
    services.start("daemon")
    with open_instance() as instance, redis.Redis.from_url(redis_url) as server:
        assert wait_until(lambda: first_at_work(instance), PATIENCE)
        server.delete(*server.scan_iter("celery-task-meta-*"))
        assert wait_until(lambda: not runs(instance, dg.DagsterRunStatus.STARTED), PATIENCE)
        (succeeded,) = instance.get_runs()
        assert succeeded.status is dg.DagsterRunStatus.SUCCESS


def test_a_canceled_run_ends_as_canceled_and_its_worker_takes_the_next_run(
    bucket: FolderOfRevisions, services: Composed
) -> None:
    for revision in REVISIONS:
        bucket.put(revision, sample_revision(revision, lines=6000))
    services.run("migrate")
    services.start("code")
    services.start("worker", 1)
    assert wait_until(lambda: services.healthy("code"), PATIENCE)
    services.start("daemon")
    with open_instance() as instance:
        assert wait_until(lambda: first_at_work(instance), PATIENCE)
        at_work = runs(instance, dg.DagsterRunStatus.STARTED)[0]
        assert instance.run_launcher.terminate(at_work.run_id)
        others = len(REVISIONS) // 3 - 1
        assert wait_until(lambda: len(runs(instance, dg.DagsterRunStatus.SUCCESS)) == others, PATIENCE)
        (canceled,) = runs(instance, dg.DagsterRunStatus.CANCELED)
        assert canceled.run_id == at_work.run_id
        assert not runs(instance, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED)


def test_a_worker_without_the_celery_launcher_names_the_setting_to_change(
    kmdb: Kmdb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del kmdb
    configure(tmp_path / "home")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(main, ["worker"])
    assert result.exit_code == 2
    assert "Set DAGSTER_HOME to a folder with the dagster.yaml of deploy/celery" in result.stderr
