"""A database belongs to one bucket: an import from another bucket changes nothing."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kmdb_dagster.dagster_ext.backfills import request_outstanding, request_range
from kmdb_dagster.dagster_ext.partition_registry import registered
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.bindings import database_id
from testing.buckets import FolderOfRevisions, event
from testing.revisions import content, rows
from testing.runs import failure_of, import_range
from testing.sensor_ticks import Watch
from testing.terminal import Terminal


@pytest.fixture
def laptop(
    kmdb: Kmdb,
    bucket: FolderOfRevisions,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> FolderOfRevisions:
    """A sample bucket, in the settings beside a database that has revision 1 of another one."""
    bucket.put(1, event("bought", "alice"))
    assert import_range(instance, kmdb, 1, 1).success
    sample = FolderOfRevisions(tmp_path / "sample")
    for number in (1, 2):
        sample.put(number, event("invented", "sample person"))
    monkeypatch.setenv("KMDB_LOCAL_BUCKET", str(sample.folder))
    return sample


def state(warehouse: Warehouse, instance: dg.DagsterInstance) -> Any:
    """What a foreign bucket could change."""
    return content(warehouse.engine), registered(instance), rows(warehouse.engine, "SELECT bucket FROM bindings")


@pytest.mark.usefixtures("laptop")
def test_a_tick_of_the_sensor_refuses_another_bucket(
    kmdb: Kmdb, instance: dg.DagsterInstance, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(warehouse, instance)
    with pytest.raises(PermanentError, match=r"belongs to the bucket .*`kmdb confirm bucket`"):
        Watch(instance, kmdb, monkeypatch).tick()
    assert state(warehouse, instance) == before


@pytest.mark.usefixtures("laptop")
def test_a_backfill_over_another_bucket_is_refused(
    kmdb: Kmdb, instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    before = state(warehouse, instance)
    with pytest.raises(PermanentError, match="`kmdb confirm bucket`"):
        request_range(instance, kmdb, 1, 2)
    with pytest.raises(PermanentError, match="`kmdb confirm bucket`"):
        request_outstanding(instance, kmdb)
    assert state(warehouse, instance) == before


@pytest.mark.parametrize("only", [None, ["raw_revisions"], ["events", "properties"]])
def test_a_run_of_any_asset_refuses_another_bucket(
    laptop: FolderOfRevisions,
    kmdb: Kmdb,
    instance: dg.DagsterInstance,
    warehouse: Warehouse,
    only: list[str] | None,
) -> None:
    before = content(warehouse.engine)
    assert f"not to {laptop.folder}" in failure_of(import_range(instance, kmdb, 1, 2, only=only))
    assert content(warehouse.engine) == before


def test_a_confirmed_bucket_is_imported_from(
    laptop: FolderOfRevisions, kmdb: Kmdb, instance: dg.DagsterInstance, warehouse: Warehouse, database: str
) -> None:
    terminal, settings = Terminal(laptop.folder), {"DATABASE_URL": database, "KMDB_LOCAL_BUCKET": str(laptop.folder)}
    refused = terminal.kmdb("confirm", "bucket", standard_input="n\n", **settings)
    assert (refused.code, "has 1 revisions from the bucket" in refused.out) == (1, True)
    confirmed = terminal.kmdb("confirm", "bucket", "--yes", **settings)
    assert (confirmed.code, confirmed.out.endswith(f"belongs to the bucket {laptop.folder}.\n")) == (0, True)
    assert import_range(instance, kmdb, 1, 2).success
    assert rows(warehouse.engine, "SELECT DISTINCT string FROM `keys` k JOIN events e ON e.n = k.id") == [("invented",)]


def test_the_endpoint_is_part_of_a_bucket_except_for_amazon(kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KMDB_LOCAL_BUCKET")
    monkeypatch.setenv("AWS_BUCKET", "acme")
    found = []
    for endpoint in ("", "https://s3.eu-west-1.amazonaws.com", "http://127.0.0.1:9000/", "http://127.0.0.1:9001"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        found.append(kmdb.bucket().location)
    amazon = "s3://acme"
    assert found == [amazon, amazon, f"{amazon} at http://127.0.0.1:9000", f"{amazon} at http://127.0.0.1:9001"]


@pytest.mark.usefixtures("bucket")
def test_a_run_binds_the_database_again_when_the_server_lost_the_binding(kmdb: Kmdb, warehouse: Warehouse) -> None:
    with kmdb.pipeline() as opened:
        database = database_id(warehouse.engine)
        before = rows(warehouse.engine, "SELECT id FROM data_folders")
        with warehouse.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM data_folders")
            connection.exec_driver_sql("DELETE FROM bindings")
            # As a server that lost its last commits: the id of the database is from `kmdb migrate`, long before.
            connection.exec_driver_sql(
                "INSERT INTO bindings (id, database_id, created_at) VALUES (1, %s, UTC_TIMESTAMP())",
                (database,),
            )
    assert rows(warehouse.engine, "SELECT bucket FROM bindings") == [(opened.bucket.location,)]
    assert rows(warehouse.engine, "SELECT id FROM data_folders") == before
