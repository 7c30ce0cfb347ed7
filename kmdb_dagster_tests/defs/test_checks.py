"""The checks of people, by real runs."""

import dagster as dg
import pytest

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster_tests.buckets import FolderOfRevisions, alias, event
from kmdb_dagster_tests.defs.runs import import_range, run_job
from kmdb_dagster_tests.warehouse.revisions import change, one

LINES = [
    *(event("came", name, plan="pro") for name in ("7", "bob", "anna")),
    alias("7", "bob"),
    alias("anonymous", "anna"),
]


@pytest.fixture
def imported(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> tuple[dg.DagsterInstance, Warehouse]:
    """Three people of five identities."""
    bucket.put(1, *LINES)
    import_range(instance, kmdb, 1, 1)
    return instance, warehouse


def checked(instance: dg.DagsterInstance, name: str) -> dg.AssetCheckEvaluation:
    """What a check says, in a run of the job that makes both."""
    found = run_job(instance, "check_people").get_asset_check_evaluations()
    (evaluation,) = (check for check in found if check.check_name == name)
    return evaluation


Imported = tuple[dg.DagsterInstance, Warehouse]


def test_facts_that_are_not_under_their_person_fail_the_check(imported: Imported) -> None:
    instance, warehouse = imported
    good = checked(instance, "facts_under_their_person")
    assert (good.passed, good.metadata["misplaced_rows"].value) == (True, 0)
    change(warehouse.engine, "UPDATE events SET user_id = 99", "DELETE FROM user_map WHERE identity_id <> user_id")
    bad = checked(instance, "facts_under_their_person")
    # All events, and the properties of whoever the map has lost.
    lost = one(
        warehouse.engine, "SELECT COUNT(*) FROM properties WHERE identity_id NOT IN (SELECT identity_id FROM user_map)"
    )
    assert lost
    assert (bad.passed, bad.metadata["misplaced_rows"].value) == (False, 3 + lost)


def test_facts_that_wait_to_be_moved_are_counted_apart(imported: Imported) -> None:
    instance, warehouse = imported
    change(
        warehouse.engine,
        "UPDATE events SET user_id = 99",
        "INSERT INTO pending_moves (identity_id, from_user_id) SELECT id, 99 FROM users WHERE name <> 'anna'",
    )
    found = checked(instance, "facts_under_their_person")
    assert (found.metadata["misplaced_rows"].value, found.metadata["rows_waiting_to_be_moved"].value) == (1, 2)


def test_people_of_two_numbers_or_too_many_identities_are_named_by_id(
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


def test_another_rule_than_the_one_in_force_is_told_until_realias_has_run(imported: Imported, kmdb: Kmdb) -> None:
    instance, warehouse = imported
    change(warehouse.engine, "INSERT INTO placeholder_identities (name) VALUES ('anonymous')")
    run = import_range(instance, kmdb, 1, 1)
    assert "run `kmdb realias`" in str([entry.user_message for entry in instance.all_logs(run.run_id)])
    assert not checked(instance, "squished_people").passed
    assert one(warehouse.engine, "SELECT COUNT(DISTINCT user_id) FROM user_map") == 2
    run_job(instance, "realias")
    assert checked(instance, "squished_people").passed
    assert one(warehouse.engine, "SELECT COUNT(DISTINCT user_id) FROM user_map") == 3
    run = import_range(instance, kmdb, 1, 1)
    assert "run `kmdb realias`" not in str([entry.user_message for entry in instance.all_logs(run.run_id)])
