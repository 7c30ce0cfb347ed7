"""The groups of a run: loaded in the background, and what fails in one does not affect the others."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine

from kmdb_dagster import pipeline
from kmdb_dagster.dagster_ext import revision_steps
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.lake import ParsedRevision
from kmdb_dagster.pipeline import Pipeline, in_groups
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.loading.revision import load_revisions
from testing.buckets import FolderOfRevisions, alias, event, line
from testing.revisions import rows, wait_until
from testing.runs import failure_of, import_range


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
    assert rows(warehouse.engine, "SELECT COUNT(*) FROM events") == [(4,)]
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
    assert "Report this defect of kmdb_dagster: KeyError at test_import_groups.py:" in failure_of(result)
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
            wait_until(lambda: rows(warehouse.engine, "SELECT COUNT(*) FROM aliases") > [(revision,)])

    groups_of(monkeypatch, 1)
    loads_that(monkeypatch, wait_for_the_next_group)
    assert import_range(instance, kmdb, 1, 3).success
    assert rows(warehouse.engine, "SELECT COUNT(DISTINCT user_id), COUNT(*) FROM events") == [(1, 3)]
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
    assert rows(warehouse.engine, "SELECT id >> 40 FROM events ORDER BY id") == [(1,), (3,)]


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
    assert rows(warehouse.engine, "SELECT revision FROM revisions") == [(1,)]


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
    assert rows(warehouse.engine, "SELECT revision FROM revisions") == [(1,), (2,)]
    for asset, made in (("raw_revisions", {"1", "2", "3"}), ("parsed_events", {"1", "2"}), ("events", {"1", "2"})):
        assert instance.get_materialized_partitions(dg.AssetKey(asset)) == made
    assert ledger.failures(warehouse.engine) == []
