"""The checks of the whole warehouse and the report, by real runs."""

import dagster as dg
import pytest

from kmdb_dagster.dagster_ext.asset_keys import REVISION_ASSETS
from kmdb_dagster.dagster_ext.partition_registry import register
from kmdb_dagster.definitions import definitions
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from testing.buckets import FolderOfRevisions, alias, event
from testing.revisions import change, content, one
from testing.runs import import_range, run_job

ALL = (
    "lines_accounted_for",
    "facts_agree_with_ledger",
    "bookkeeping_agrees",
    "facts_under_their_person",
    "ids_belong_to_names",
    "facts_agree_with_parquet",
    "squished_people",
    "filters_in_force",
    "no_failed_or_missing_revisions",
    "newest_event_is_recent",
    "future_is_covered",
    "indexes_are_there",
)
LINES = [
    *(event("came", name, plan="pro") for name in ("7", "bob", "anna")),
    alias("7", "bob"),
    alias("anonymous", "anna"),
]


@pytest.fixture
def imported(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> tuple[dg.DagsterInstance, Warehouse]:
    """Two people of four identities."""
    bucket.put(1, *LINES)
    import_range(instance, kmdb, 1, 1)
    return instance, warehouse


def checked(instance: dg.DagsterInstance, name: str) -> dg.AssetCheckEvaluation:
    """What a check of the whole warehouse, or of the filters, says."""
    asset = "filters" if name == "filters_in_force" else "warehouse"
    return evaluations(run_job(instance, "check_everything", only=f"{asset}_{name}"))[name]


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def values_of(evaluation: dg.AssetCheckEvaluation) -> dict[str, object]:
    """What a check found."""
    return {name: value.value for name, value in evaluation.metadata.items()}


Imported = tuple[dg.DagsterInstance, Warehouse]


def test_facts_with_a_wrong_person_fail_the_check(imported: Imported) -> None:
    instance, warehouse = imported
    good = checked(instance, "facts_under_their_person")
    assert (good.passed, good.metadata["misplaced_rows"].value) == (True, 0)
    change(warehouse.engine, "UPDATE events SET user_id = 99", "DELETE FROM user_map WHERE identity_id <> user_id")
    bad = checked(instance, "facts_under_their_person")
    # All events, and the properties of the identity that the map lost.
    lost = one(
        warehouse.engine, "SELECT COUNT(*) FROM properties WHERE identity_id NOT IN (SELECT identity_id FROM user_map)"
    )
    assert lost
    assert (bad.passed, bad.metadata["misplaced_rows"].value) == (False, 3 + lost)


def test_pending_moves_are_counted_separately(imported: Imported) -> None:
    instance, warehouse = imported
    change(
        warehouse.engine,
        "UPDATE events SET user_id = 99",
        "INSERT INTO pending_moves (identity_id, from_user_id) SELECT id, 99 FROM users WHERE name <> 'anna'",
    )
    found = checked(instance, "facts_under_their_person")
    assert (found.metadata["misplaced_rows"].value, found.metadata["rows_waiting_to_be_moved"].value) == (1, 2)


def test_over_merged_people_are_listed_by_id(
    imported: Imported, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance, warehouse = imported
    assert checked(instance, "squished_people").passed
    bucket.put(2, alias("bob", "12"), *(alias("anna", f"cookie{number}") for number in range(9)))
    import_range(instance, kmdb, 2, 2)
    monkeypatch.setenv("KMDB_MOST_IDENTITIES", "10")
    found = checked(instance, "squished_people")
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    ids = [one(warehouse.engine, f"SELECT id FROM users WHERE name = '{name}'") for name in ("7", "anna")]  # noqa: S608
    assert [record.data for record in found.metadata["worst"].value.records] == [  # type: ignore[union-attr]  # a table
        {"user_id": ids[0], "identities": 3, "numeric_identities": 2},
        {"user_id": ids[1], "identities": 11, "numeric_identities": 0},
    ]


def test_a_pending_rule_is_reported_until_realias(imported: Imported, kmdb: Kmdb) -> None:
    instance, warehouse = imported
    change(warehouse.engine, "INSERT INTO placeholder_identities (name) VALUES ('anonymous')")
    run = import_range(instance, kmdb, 1, 1)
    assert "run `kmdb realias`" in str([entry.user_message for entry in instance.all_logs(run.run_id)])
    assert not checked(instance, "filters_in_force").passed
    assert one(warehouse.engine, "SELECT COUNT(DISTINCT user_id) FROM user_map") == 2
    run_job(instance, "realias")
    assert checked(instance, "filters_in_force").passed
    assert one(warehouse.engine, "SELECT COUNT(DISTINCT user_id) FROM user_map") == 3
    run = import_range(instance, kmdb, 1, 1)
    assert "run `kmdb realias`" not in str([entry.user_message for entry in instance.all_logs(run.run_id)])


def test_the_nightly_job_runs_all_checks_and_reports(
    imported: Imported, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance, warehouse = imported
    bucket.put(2, event("came"))
    monkeypatch.setenv("KMDB_MIN_DATE", "2014-04-01")
    monkeypatch.setenv("KMDB_MAX_DATE", "2014-06-01")
    monkeypatch.setenv("KMDB_KEEP_DAYS", "1")
    monkeypatch.setenv("KMDB_FRESH_HOURS", "0")
    run_job(instance, "partition_tables", {"ops": {"add_partitions": {"config": {"dry_run": False}}}})
    result = run_job(instance, "check_everything")
    assert {name: check.passed for name, check in evaluations(result).items()} == dict.fromkeys(ALL, True)
    (report,) = result.asset_materializations_for_node("import_report")
    assert str(report.metadata["charts"].value).count("data:image/png") == 5
    # Now with everything wrong.
    with kmdb.warehouse() as opened:
        register(instance, opened, 1, 4)
    ledger.record_failure(warehouse.engine, 2, "raw_revisions: it is broken")
    monkeypatch.setenv("KMDB_FRESH_HOURS", "48")
    monkeypatch.delenv("KMDB_MAX_DATE")
    change(
        warehouse.engine,
        "DELETE FROM properties LIMIT 1",
        "INSERT INTO events VALUES (1, '2015-01-01', 1, 1, 99)",
        "UPDATE revisions SET imported = 0, t_max = '2037-01-01' WHERE revision = 1",
    )
    found = evaluations(run_job(instance, "check_everything"))
    assert {name for name, check in found.items() if check.passed} == {
        "squished_people",
        "filters_in_force",
        "indexes_are_there",
        "ids_belong_to_names",
        "facts_agree_with_parquet",
    }
    errors = {name for name, check in found.items() if check.severity == dg.AssetCheckSeverity.ERROR}
    assert errors == {*ALL[:6], "no_failed_or_missing_revisions"}
    assert values_of(found["no_failed_or_missing_revisions"]) == {
        "failed": "2",
        "missing": "3..4",
        "never_written_by_kissmetrics": 0,
    }
    assert values_of(found["newest_event_is_recent"]) == {"newest_event": "none yet", "allowed_hours": 48.0}
    assert values_of(found["future_is_covered"])["rows_in_the_overflow_of"] == "events"
    wrong = found["facts_agree_with_ledger"].metadata["wrong"].value.records  # type: ignore[union-attr]  # a table
    assert [record.data["revision"] for record in wrong] == [0, 1]


def test_a_check_that_finds_a_manual_edit_names_the_commands_that_repair_it(imported: Imported) -> None:
    instance, warehouse = imported
    assert checked(instance, "bookkeeping_agrees").passed
    change(
        warehouse.engine,
        "DELETE FROM users WHERE name = 'bob'",
        "UPDATE events SET user_id = 99",
        "UPDATE revisions SET imported = 0, events = 7",
    )
    found = evaluations(run_job(instance, "check_everything"))
    repairs = {name: values_of(check)["repair"] for name, check in found.items() if "repair" in check.metadata}
    assert repairs == {
        "bookkeeping_agrees": "`kmdb realias`; then `kmdb import 1`",
        "facts_under_their_person": "`kmdb realias`",
        "facts_agree_with_ledger": "`kmdb import 1`",
        "facts_agree_with_parquet": "`kmdb import 1`",
        "lines_accounted_for": "`kmdb import 1`",
    }
    table = found["bookkeeping_agrees"].metadata["found"].value.records  # type: ignore[union-attr]  # a table
    assert {record.data["revisions"] for record in table} == {"none", "1"}
    assert "bob" not in str([record.data for record in table])


def test_a_run_that_imports_a_range_whose_ledger_rows_were_deleted_replaces_its_facts(
    imported: Imported, kmdb: Kmdb, bucket: FolderOfRevisions
) -> None:
    instance, warehouse = imported
    for revision in (2, 3):
        bucket.put(revision, *LINES, b"nonsense\n")
    import_range(instance, kmdb, 2, 3)
    before = content(warehouse.engine)
    change(warehouse.engine, "DELETE FROM revisions", "UPDATE events SET t = t + INTERVAL 2 YEAR WHERE id >> 40 > 1")
    assert import_range(instance, kmdb, 1, 3).success
    assert content(warehouse.engine) == before


def test_wrong_facts_and_ids_fail_their_checks_with_counts_only(
    imported: Imported, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance, warehouse = imported
    change(warehouse.engine, "UPDATE users SET name = 'eve' WHERE name = 'anna'")
    ids, facts = checked(instance, "ids_belong_to_names"), checked(instance, "facts_agree_with_parquet")
    assert (ids.passed, values_of(ids)) == (False, {"wrong_keys": 0, "wrong_users": 1, "repair": "`kmdb flush`"})
    assert (facts.passed, values_of(facts)) == (
        False,
        {
            "rows_compared": 6,
            "rows_wrong": 2,
            "revisions_wrong": "1",
            "revisions_compared": 1,
            "revisions_without_their_parquet": 0,
            "repair": "`kmdb import 1`",
        },
    )
    monkeypatch.setenv("KMDB_CHECKED_ROWS", "0")
    assert checked(instance, "facts_agree_with_parquet").passed


def test_a_run_checks_its_own_revisions(imported: Imported, kmdb: Kmdb, bucket: FolderOfRevisions) -> None:
    instance, warehouse = imported
    bucket.put(2, event("came"))
    change(warehouse.engine, "DELETE FROM events WHERE id >> 40 = 1")
    found = evaluations(import_range(instance, kmdb, 2, 2))
    assert {name: (check.passed, values_of(check)["revisions"]) for name, check in found.items()} == {
        "lines_accounted_for": (True, 1),
        "facts_agree_with_ledger": (True, 1),
    }


def test_facts_are_moved_after_the_missing_indexes_are_built(
    imported: Imported, kmdb: Kmdb, bucket: FolderOfRevisions
) -> None:
    instance, warehouse = imported
    run_job(instance, "drop_indexes")
    bucket.put(2, alias("anna", "7"))
    import_range(instance, kmdb, 2, 2)
    assert not checked(instance, "indexes_are_there").passed
    run_job(instance, "build_indexes")
    assert checked(instance, "indexes_are_there").passed
    assert one(warehouse.engine, "SELECT COUNT(DISTINCT user_id) FROM events") == 1


def check_states(instance: dg.DagsterInstance) -> dict[str, str]:
    """What the UI shows of each check that was ever planned: its latest execution."""
    keys = list(definitions().resolve_asset_graph().asset_check_keys)
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    return {key.to_user_string(): record.status.value for key, record in found.items()}


@pytest.mark.parametrize("job", ["import_revisions", "__ASSET_JOB"])
def test_an_import_that_fails_leaves_the_checks_of_the_whole_warehouse_alone(
    job: str, imported: Imported, kmdb: Kmdb, bucket: FolderOfRevisions
) -> None:
    instance, _ = imported
    run_job(instance, "check_everything")
    before = check_states(instance)
    bucket.put(2, b"<html>Service Unavailable</html>\n" * 200)
    bucket.put(3, event("came"))
    # A backfill runs Dagster's own job of all assets.
    failed = import_range(instance, kmdb, 2, 3, job=job, only=[key.to_user_string() for key in REVISION_ASSETS])
    assert not failed.success
    assert {step.step_key for step in failed.get_step_skipped_events()} == set()
    assert check_states(instance) == before | dict.fromkeys(
        ["events:lines_accounted_for", "events:facts_agree_with_ledger"], "SUCCEEDED"
    )


def test_the_warehouse_says_how_much_is_in_it(imported: Imported, monkeypatch: pytest.MonkeyPatch) -> None:
    instance, warehouse = imported
    monkeypatch.setenv("KMDB_MIN_DATE", "2014-04-01")
    monkeypatch.setenv("KMDB_MAX_DATE", "2014-06-01")
    monkeypatch.setenv("KMDB_KEEP_DAYS", "1")
    run_job(instance, "partition_tables", {"ops": {"add_partitions": {"config": {"dry_run": False}}}})
    (made,) = run_job(instance, "check_everything", only="warehouse").asset_materializations_for_node("warehouse")
    told = {name: value.value for name, value in made.metadata.items()}
    counted = {table: one(warehouse.engine, f"SELECT COUNT(*) FROM {table}") for table in ("events", "properties")}  # noqa: S608 - ours
    assert told["dagster/row_count"] == sum(counted.values())
    assert {name: told[name] for name in ("events", "properties", "people", "identities", "revisions", "failed")} == {
        **counted,
        "people": 2,
        "identities": 4,
        "revisions": 1,
        "failed": 0,
    }
    assert len(told["time_partitions"].records) == 11  # type: ignore[union-attr]  # a table
    sizes = {record.data["table"]: record.data["bytes"] for record in told["tables"].records}  # type: ignore[union-attr]  # a table
    assert {"events", "properties", "users", "user_map", "revisions"} <= sizes.keys()
    assert told["bytes"] == sum(sizes.values())
    assert told["old_bytes_that_may_go"]
