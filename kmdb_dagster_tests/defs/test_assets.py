"""The five assets, by real runs over a sample bucket and over buckets with something wrong."""

from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from kmdb_dagster.definitions import definitions
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.sample import sample_bucket
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from testing.buckets import FolderOfRevisions, event
from testing.revisions import rows
from testing.runs import import_range

FIVE = ("raw_revisions", "parsed_events", "user_map", "events", "properties")


CHECK = dg.AssetCheckKey(dg.AssetKey("events"), "lines_accounted_for")


REVISIONS, LINES = 6, 300


@pytest.fixture
def sample(bucket: FolderOfRevisions) -> FolderOfRevisions:
    """A bucket with an invented export in it."""
    for key, content in sample_bucket(REVISIONS, LINES):
        (bucket.folder / key).write_bytes(content)
    return bucket


def everything(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """The content of every table that an import fills, but for the time of the import."""
    tables = ["events", "properties", "aliases", "users", "`keys`", "user_map", "rejected_lines", "pending_moves"]
    columns = ", ".join(f"`{name}`" for name in ("revision", *ledger.Entry._fields, "error", "failed_at"))
    dumped = {table: rows(warehouse.engine, f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}  # noqa: S608 - ours
    return {**dumped, "revisions": rows(warehouse.engine, f"SELECT {columns} FROM revisions ORDER BY 1")}  # noqa: S608 - ours


def told(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dict[str, Any]]:
    """The metadata that a run recorded of an asset, by partition."""
    events = (event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(asset))
    return {str(event.partition): {name: v.value for name, v in materialization(event).items()} for event in events}


def materialization(found: dg.DagsterEvent) -> Any:
    return found.step_materialization_data.materialization.metadata


def test_every_line_of_a_sample_has_an_outcome(
    instance: dg.DagsterInstance, kmdb: Kmdb, sample: FolderOfRevisions, warehouse: Warehouse
) -> None:
    result = import_range(instance, kmdb, 1, REVISIONS)
    assert result.success
    for asset in FIVE:
        assert instance.get_materialized_partitions(dg.AssetKey(asset)) == {str(n) for n in range(1, REVISIONS + 1)}
    in_files = [
        (number, (sample.folder / f"revisions/{number}.json").read_bytes().count(b"\n"))
        for number in range(1, REVISIONS + 1)
    ]
    assert rows(warehouse.engine, "SELECT revision, imported + ignored + blank + rejected FROM revisions") == in_files
    refused = rows(warehouse.engine, "SELECT revision, rejected FROM revisions WHERE rejected > 0")
    assert refused
    assert rows(warehouse.engine, "SELECT revision, COUNT(*) FROM rejected_lines GROUP BY 1") == refused
    checks = {check.asset_check_key: check.passed for check in result.get_asset_check_evaluations()}
    assert checks[CHECK]
    assert all(checks.values())
    assert instance.get_records_for_run(result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records


def test_each_partition_has_metadata_of_counts_and_speed(
    instance: dg.DagsterInstance, kmdb: Kmdb, sample: FolderOfRevisions, warehouse: Warehouse
) -> None:
    result = import_range(instance, kmdb, 1, REVISIONS)
    sizes = {str(n): (sample.folder / f"revisions/{n}.json").stat().st_size for n in range(1, REVISIONS + 1)}
    for asset in FIVE:
        assert told(result, asset).keys() == sizes.keys()
    assert {key: figures["bytes"] for key, figures in told(result, "raw_revisions").items()} == sizes
    for figures in told(result, "parsed_events").values():
        assert figures["dagster/partition_row_count"] == figures["lines"] == LINES
        assert isinstance(figures["seconds"], float)
        assert figures["rows_per_second"] > 0
    for asset in ("events", "properties"):
        counts = {key: figures["dagster/partition_row_count"] for key, figures in told(result, asset).items()}
        assert sum(counts.values()) == rows(warehouse.engine, f"SELECT COUNT(*) FROM {asset}")[0][0]  # noqa: S608 - ours


def test_importing_again_changes_no_row(
    instance: dg.DagsterInstance, kmdb: Kmdb, sample: FolderOfRevisions, warehouse: Warehouse
) -> None:
    del sample
    import_range(instance, kmdb, 1, REVISIONS)
    before = everything(warehouse)
    assert import_range(instance, kmdb, 1, REVISIONS).success
    assert import_range(instance, kmdb, 3, 4).success
    assert everything(warehouse) == before


def test_events_alone_are_reloaded_from_the_parquet(
    instance: dg.DagsterInstance, kmdb: Kmdb, sample: FolderOfRevisions, warehouse: Warehouse
) -> None:
    import_range(instance, kmdb, 1, REVISIONS)
    before = everything(warehouse)
    with warehouse.engine.begin() as connection:
        connection.execute(text("DELETE FROM events"))
        connection.execute(text("DELETE FROM properties"))
    for number in range(1, REVISIONS + 1):
        (sample.folder / f"revisions/{number}.json").unlink()
    result = import_range(instance, kmdb, 1, REVISIONS, only=["events"])
    assert result.success
    assert everything(warehouse) == before
    assert not told(result, "parsed_events")


def test_an_absent_revision_is_an_empty_partition_with_a_note(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    bucket.put(1, event("visited site"))
    bucket.put(3, event("visited site"))
    result = import_range(instance, kmdb, 1, 3)
    assert result.success
    assert told(result, "raw_revisions")["2"]["etag"] == "(KissMetrics never wrote this number)"
    assert told(result, "events")["2"]["dagster/partition_row_count"] == 0
    assert rows(warehouse.engine, "SELECT etag, `lines`, imported_at IS NULL FROM revisions WHERE revision = 2") == [
        (None, 0, 0)
    ]


def run_the_check_alone(instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    found = definitions()
    job = dg.define_asset_job("only_the_check", selection=dg.AssetSelection.checks(CHECK))
    alone = dg.Definitions(assets=found.assets, jobs=[job], resources=found.resources)
    result = alone.resolve_job_def("only_the_check").execute_in_process(instance=instance)
    (evaluation,) = result.get_asset_check_evaluations()
    assert not result.get_asset_materialization_events()
    return evaluation


def test_the_check_alone_checks_all_imported_revisions(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    bucket.put(1, event("visited site"))
    bucket.put(2, event("visited site"))
    import_range(instance, kmdb, 1, 2)
    good = run_the_check_alone(instance)
    assert (good.passed, good.metadata["revisions"].value) == (True, "all")
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE revisions SET `lines` = 5 WHERE revision = 2"))
    bad = run_the_check_alone(instance)
    assert (bad.passed, bad.metadata["not_accounted_for"].value) == (False, [2])
