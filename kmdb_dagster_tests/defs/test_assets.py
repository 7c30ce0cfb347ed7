"""The five assets, by real runs over a sample bucket and over buckets with something wrong."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from kmdb_dagster import pipeline
from kmdb_dagster.dagster_ext import revision_steps
from kmdb_dagster.definitions import definitions
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.lake import ParsedRevision
from kmdb_dagster.pipeline import Pipeline, in_groups
from kmdb_dagster.sample import sample_bucket
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.loading.revision import load_revisions
from testing.buckets import FolderOfRevisions, alias, event, line
from testing.revisions import wait_until
from testing.runs import failure_of, import_range

FIVE = ("raw_revisions", "parsed_events", "user_map", "events", "properties")
CHECK = dg.AssetCheckKey(dg.AssetKey("events"), "lines_accounted_for")
REVISIONS, LINES = 6, 300


@pytest.fixture
def sample(bucket: FolderOfRevisions) -> FolderOfRevisions:
    """A bucket with an invented export in it."""
    for key, content in sample_bucket(REVISIONS, LINES):
        (bucket.folder / key).write_bytes(content)
    return bucket


def rows(warehouse: Warehouse, statement: str) -> list[tuple[Any, ...]]:
    with warehouse.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def everything(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """The content of every table that an import fills, but for the time of the import."""
    tables = ["events", "properties", "aliases", "users", "`keys`", "user_map", "rejected_lines", "pending_moves"]
    columns = ", ".join(f"`{name}`" for name in ("revision", *ledger.Entry._fields, "error", "failed_at"))
    dumped = {table: rows(warehouse, f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}  # noqa: S608 - ours
    return {**dumped, "revisions": rows(warehouse, f"SELECT {columns} FROM revisions ORDER BY 1")}  # noqa: S608 - ours


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
    assert rows(warehouse, "SELECT revision, imported + ignored + blank + rejected FROM revisions") == in_files
    refused = rows(warehouse, "SELECT revision, rejected FROM revisions WHERE rejected > 0")
    assert refused
    assert rows(warehouse, "SELECT revision, COUNT(*) FROM rejected_lines GROUP BY 1") == refused
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
        assert sum(counts.values()) == rows(warehouse, f"SELECT COUNT(*) FROM {asset}")[0][0]  # noqa: S608 - ours


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
    assert rows(warehouse, "SELECT etag, `lines`, imported_at IS NULL FROM revisions WHERE revision = 2") == [
        (None, 0, 0)
    ]


def test_a_missing_revision_fails_and_keeps_its_rows(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    bucket.put(1, event("visited site"))
    path = bucket.put(2, event("visited site"), event("signed up"))
    assert import_range(instance, kmdb, 1, 2).success
    path.unlink()
    bucket.put(3, event("visited site"))
    result = import_range(instance, kmdb, 1, 3)
    said = failure_of(result)
    assert "Failed revisions: 1 of 3. The other 2 are imported." in said
    assert "(revision 2, raw_revisions)" in said
    assert "was imported before and is no longer there" in said
    assert rows(warehouse, "SELECT COUNT(*) FROM events") == [(4,)]
    assert [number for number, _ in ledger.failures(warehouse.engine)] == [2]
    evaluations = result.get_asset_check_evaluations()
    assert evaluations
    assert all(check.passed for check in evaluations)
    bucket.put(2, event("visited site"), event("signed up"))
    assert import_range(instance, kmdb, 2, 2).success
    assert ledger.failures(warehouse.engine) == []


def test_a_defect_is_reported_without_personal_data(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("bob@example.com")

    bucket.put(1, event("visited site", "bob@example.com"), line({"_p": "bob@example.com"}))
    monkeypatch.setattr("kmdb_dagster.pipeline.steps.resolve_revisions", lambda *_, **__: broken())
    result = import_range(instance, kmdb, 1, 1)
    assert "Report this defect of kmdb_dagster: KeyError at test_assets.py:" in failure_of(result)
    assert not any("bob@example.com" in str(entry) for entry in instance.all_logs(result.run_id))


@pytest.mark.usefixtures("no_waiting")
def test_an_unavailable_server_ends_the_run_for_a_retry_by_dagster(
    instance: dg.DagsterInstance,
    kmdb: Kmdb,
    bucket: FolderOfRevisions,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def away(_warehouse: object, group: Sequence[ParsedRevision], **_: object) -> None:
        tried.append([parsed.revision for parsed in group])
        raise TransientError("The server cannot be reached.")

    bucket.put(1, event("visited site"))
    bucket.put(2, event("visited site"))
    monkeypatch.setattr("kmdb_dagster.pipeline.steps.resolve_revisions", away)
    result = import_range(instance, kmdb, 1, 2)
    assert "TransientError: The server cannot be reached." in failure_of(result)
    assert {tuple(group) for group in tried} == {(1, 2)}
    assert ledger.failures(warehouse.engine) == []
    assert instance.get_materialized_partitions(dg.AssetKey("parsed_events")) == {"1", "2"}
    tags = instance.get_runs()[0].tags
    assert tags["dagster/retry_on_asset_or_op_failure"] == "true"


def loads_that(monkeypatch: pytest.MonkeyPatch, happening: Callable[[int], None]) -> None:
    """Something happens before each load, for each revision of it."""

    def load(engine: Engine, group: Sequence[ParsedRevision], **options: Any) -> dict[int, ledger.Entry]:
        for parsed in group:
            happening(parsed.revision)
        return load_revisions(engine, group, **options)

    monkeypatch.setattr("kmdb_dagster.pipeline.steps.load_revisions", load)


def groups_of(monkeypatch: pytest.MonkeyPatch, revisions: int) -> None:
    """Runs form groups of this number of revisions."""
    monkeypatch.setattr(revision_steps, "in_groups", partial(in_groups, max_revisions=revisions))


def test_a_group_is_resolved_while_the_one_before_it_is_loaded_and_its_facts_are_moved_in_the_end(
    instance: dg.DagsterInstance,
    kmdb: Kmdb,
    bucket: FolderOfRevisions,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(1, 4):
        bucket.put(number, event("visited site", f"person{number}"), alias(f"person{number}", "anna"))

    def wait_for_the_next_group(revision: int) -> None:
        if revision < 3:
            wait_until(lambda: rows(warehouse, "SELECT COUNT(*) FROM aliases") > [(revision,)])

    groups_of(monkeypatch, 1)
    loads_that(monkeypatch, wait_for_the_next_group)
    assert import_range(instance, kmdb, 1, 3).success
    assert rows(warehouse, "SELECT COUNT(DISTINCT user_id), COUNT(*) FROM events") == [(1, 3)]
    assert instance.get_materialized_partitions(dg.AssetKey("events")) == {"1", "2", "3"}


def test_a_failed_load_does_not_affect_other_revisions_of_the_run(
    instance: dg.DagsterInstance,
    kmdb: Kmdb,
    bucket: FolderOfRevisions,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def break_the_second(revision: int) -> None:
        if revision == 2:
            raise PermanentError("It does not fit.")

    for number in range(1, 4):
        bucket.put(number, event("visited site"))
    loads_that(monkeypatch, break_the_second)
    assert "It does not fit. (revision 2, events and properties)" in failure_of(import_range(instance, kmdb, 1, 3))
    assert instance.get_materialized_partitions(dg.AssetKey("events")) == {"1", "3"}
    assert instance.get_materialized_partitions(dg.AssetKey("user_map")) == {"1", "2", "3"}
    assert ledger.failures(warehouse.engine) == [(2, "events and properties: It does not fit.")]
    assert rows(warehouse, "SELECT id >> 40 FROM events ORDER BY id") == [(1,), (3,)]


@pytest.mark.usefixtures("no_waiting")
def test_a_server_lost_during_loads_ends_the_run_and_keeps_its_commits(
    instance: dg.DagsterInstance,
    kmdb: Kmdb,
    bucket: FolderOfRevisions,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def go_away_at_the_second(revision: int) -> None:
        if revision >= 2:
            raise TransientError("The server cannot be reached.")

    for number in range(1, 9):
        bucket.put(number, event("visited site"))
    groups_of(monkeypatch, 1)
    loads_that(monkeypatch, go_away_at_the_second)
    result = import_range(instance, kmdb, 1, 8)
    assert "TransientError: The server cannot be reached." in failure_of(result)
    assert instance.get_materialized_partitions(dg.AssetKey("events")) == {"1"}
    assert instance.get_runs()[0].tags["dagster/retry_on_asset_or_op_failure"] == "true"
    assert ledger.failures(warehouse.engine) == []
    assert rows(warehouse, "SELECT revision FROM revisions") == [(1,)]


def test_a_run_that_is_cancelled_while_a_group_is_loaded_records_what_it_had_done(
    instance: dg.DagsterInstance,
    kmdb: Kmdb,
    bucket: FolderOfRevisions,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parse = pipeline.parse

    def cancel_at_the_third(opened: Pipeline, revision: int) -> tuple[pipeline.Figures, ParsedRevision]:
        if revision == 3:
            raise KeyboardInterrupt
        return parse(opened, revision)

    for number in range(1, 5):
        bucket.put(number, event("visited site"))
    groups_of(monkeypatch, 1)
    monkeypatch.setattr(pipeline, "parse", cancel_at_the_third)
    assert not import_range(instance, kmdb, 1, 4).success
    assert rows(warehouse, "SELECT revision FROM revisions") == [(1,), (2,)]
    for asset, made in (("raw_revisions", {"1", "2", "3"}), ("parsed_events", {"1", "2"}), ("events", {"1", "2"})):
        assert instance.get_materialized_partitions(dg.AssetKey(asset)) == made
    assert ledger.failures(warehouse.engine) == []


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
