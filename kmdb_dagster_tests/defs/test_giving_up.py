"""A run that gives up on an unavailable service names its place, and is started again from any step."""

import os
from collections.abc import Callable, Iterator

import dagster as dg
import pytest
from sqlalchemy import create_engine

from kmdb_dagster.dagster_ext.run_retries import MAX_RUNS
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import KmdbError, PermanentError, TransientError
from kmdb_dagster.settings import database_url
from kmdb_dagster.source import BucketUnusableError, FolderBucket, ObjectUnreadableError, StoredObject
from kmdb_dagster.warehouse.ledger import ledger
from testing.buckets import FolderOfRevisions, event
from testing.runs import failure_of, import_range
from testing.sensor_ticks import Watch

pytestmark = pytest.mark.usefixtures("no_waiting")


def away(*_: object, **__: object) -> None:
    raise TransientError("The server cannot be reached.")


def broken(*_: object, **__: object) -> None:
    raise PermanentError("It does not fit.")


def starts_again(instance: dg.DagsterInstance) -> bool:
    return instance.get_runs()[0].tags.get("dagster/retry_on_asset_or_op_failure") == "true"


@pytest.mark.parametrize(
    "work",
    [
        "kmdb_dagster.defs.assets.revisions.is_rule_pending",
        "kmdb_dagster.defs.asset_checks.revisions.ledger.unbalanced",
    ],
)
def test_an_unavailable_server_at_the_end_of_a_run_leads_to_a_retry(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    bucket.put(1, event("visited site"))
    monkeypatch.setattr(work, away)
    assert "The server cannot be reached." in failure_of(import_range(instance, kmdb, 1, 1))
    assert starts_again(instance)


def test_a_run_that_gives_up_names_its_revision_and_the_next_step(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(1, event("visited site"))
    monkeypatch.setattr("kmdb_dagster.pipeline.steps.resolve_revisions", away)
    said = failure_of(import_range(instance, kmdb, 1, 1))
    assert "Wait: Dagster starts this run again" in said
    assert (
        "The server cannot be reached. It did not pass in time, so the run ended here (revision 1, user_map)." in said
    )


def test_a_failure_that_cannot_be_recorded_leads_to_a_retry(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(1, event("visited site"))
    monkeypatch.setattr("kmdb_dagster.pipeline.steps.resolve_revisions", broken)
    monkeypatch.setattr(ledger, "record_failure", away)
    assert "The server cannot be reached." in failure_of(import_range(instance, kmdb, 1, 1))
    assert starts_again(instance)


@pytest.fixture
def read_only(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Import as a user without SUPER, so that the server can be made read-only (``ON`` or ``OFF``)."""
    url = database_url(database)
    admin, user = create_engine(url, isolation_level="AUTOCOMMIT"), f"importer_{os.getpid()}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE USER '{user}'@'%%' IDENTIFIED BY 'x'")
        connection.exec_driver_sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON `{url.database}`.* TO '{user}'@'%%'")
        monkeypatch.setenv("DATABASE_URL", database.replace("root@", f"{user}:x@"))
        yield lambda state: connection.exec_driver_sql(f"SET GLOBAL read_only = {state}").close()
        connection.exec_driver_sql("SET GLOBAL read_only = OFF")
        connection.exec_driver_sql(f"DROP USER '{user}'@'%%'")
    admin.dispose()


@pytest.mark.xdist_group("infile")  # with others that change settings of the server
def test_maintenance_of_the_server_needs_no_operator(
    instance: dg.DagsterInstance,
    kmdb: Kmdb,
    bucket: FolderOfRevisions,
    read_only: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket.put(1, event("visited site"))
    bucket.put(2, event("visited site"))
    watch = Watch(instance, kmdb, monkeypatch)
    read_only("ON")
    for _ in range(MAX_RUNS + 1):
        (request,), _ = watch.tick()
        watch.carry_out(request)
        assert starts_again(instance)
    read_only("OFF")
    watch.carry_out(*watch.tick()[0])
    with kmdb.warehouse() as warehouse:
        assert {status.imported for status in ledger.statuses(warehouse.engine).values()} == {True}
    assert watch.ranges() == []


def refusing(error: KmdbError, key: str) -> Callable[[FolderBucket, str], StoredObject | None]:
    """A way to find objects that S3 refuses for one of them."""
    find = FolderBucket.find

    def refuse(bucket: FolderBucket, wanted: str) -> StoredObject | None:
        if wanted == key:
            raise error
        return find(bucket, wanted)

    return refuse


def test_an_object_that_s3_refuses_fails_only_its_revision(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for revision in (1, 2, 3):
        bucket.put(revision, event("visited site"))
    refused = refusing(ObjectUnreadableError("revisions/2.json: S3 refuses it (NeverHeardOf)."), "revisions/2.json")
    monkeypatch.setattr(FolderBucket, "find", refused)
    said = failure_of(import_range(instance, kmdb, 1, 3))
    assert "Failed revisions: 1 of 3. The other 2 are imported." in said
    assert "revisions/2.json: S3 refuses it (NeverHeardOf). (revision 2, raw_revisions)" in said
    assert not starts_again(instance)
    with kmdb.warehouse() as opened:
        assert [revision for revision, _ in ledger.failures(opened.engine)] == [2]


def test_credentials_that_expire_end_the_run_and_fail_no_revision(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for revision in (1, 2, 3):
        bucket.put(revision, event("visited site"))
    monkeypatch.setattr(FolderBucket, "find", refusing(BucketUnusableError("They have expired."), "revisions/2.json"))
    result = import_range(instance, kmdb, 1, 3)
    assert "They have expired. Then run import_outstanding. No other revision can be read either" in failure_of(result)
    # Planned checks without a result would be shown as failed, although nothing is wrong with what was imported.
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True, True]
    assert not starts_again(instance)
    with kmdb.warehouse() as opened:
        assert ledger.failures(opened.engine) == []
        assert set(ledger.statuses(opened.engine)) <= {1}
