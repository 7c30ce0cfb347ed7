"""Filters in Dagster: the asset, the check, and the two jobs, by real runs."""

from typing import Any

import dagster as dg
import pytest

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.warehouse import Warehouse
from testing.buckets import FolderOfRevisions, alias, event
from testing.revisions import one, people, rows
from testing.runs import failure_of, import_range, run_job


@pytest.fixture
def imported(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> tuple[dg.DagsterInstance, Warehouse]:
    """Two revisions of bob, who is also b2, and anna."""
    for revision in (1, 2):
        bucket.put(revision, event("came", "bob", plan="pro"), event("went", "anna", plan="pro"), alias("bob", "b2"))
    assert import_range(instance, kmdb, 1, 2).success
    return instance, warehouse


Imported = tuple[dg.DagsterInstance, Warehouse]


def change(instance: dg.DagsterInstance, **fields: object) -> dict[str, Any]:
    """Run change_filters, and return what its page shows."""
    return metadata(run_job(instance, "change_filters", {"ops": {"change_names": {"config": fields}}}))


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    assert result.success
    (event_,) = (event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_OUTPUT)
    return {name: value.value for name, value in event_.step_output_data.metadata.items()}


def check(instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    result = run_job(instance, "check_everything", only="filters_filters_in_force")
    (found,) = result.get_asset_check_evaluations()
    return found


def asset(instance: dg.DagsterInstance) -> dict[str, Any]:
    result = run_job(instance, "check_everything", only="filters")
    (found,) = result.asset_materializations_for_node("filters")
    return {name: value.value for name, value in found.metadata.items()}


def test_a_dry_run_shows_the_rows_that_would_go_and_changes_nothing(imported: Imported) -> None:
    instance, warehouse = imported
    shown = change(instance, blacklist=["plan"])
    assert (shown["dry_run"], shown["names_added"]) == (True, 0)
    assert (shown["revisions_to_reload"], shown["properties_to_remove"], shown["events_to_remove"]) == (2, 4, 0)
    assert one(warehouse.engine, "SELECT COUNT(*) FROM blacklisted_properties") == 0
    assert check(instance).passed


def test_a_change_is_warned_of_until_the_reload_put_it_into_force(imported: Imported, kmdb: Kmdb) -> None:
    instance, warehouse = imported
    change(instance, blacklist=["plan"], whitelist=["came"], dry_run=False)
    warned = check(instance)
    assert (warned.passed, warned.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert warned.metadata["loaded_with_other_filters"].value == "1..2"
    assert warned.metadata["repair"].value == "Run the job apply_filters, or `kmdb filter apply`."
    shown = asset(instance)
    assert (shown["blacklisted_properties"], shown["whitelisted_events"], shown["ignored_users"]) == (1, 1, 0)
    assert (shown["events_to_remove"], shown["properties_to_remove"]) == (2, 4)
    requested = metadata(run_job(instance, "apply_filters"))
    (backfill,) = instance.get_backfills()
    assert requested == {"revisions": 2, "backfill": f"/runs/b/{backfill.backfill_id}"}
    assert import_range(instance, kmdb, 1, 2, only=["events", "properties"]).success
    assert rows(warehouse.engine, "SELECT COUNT(*) FROM events UNION ALL SELECT COUNT(*) FROM properties") == [
        (2,),
        (0,),
    ]
    assert check(instance).passed
    assert metadata(run_job(instance, "apply_filters")) == {"revisions": 0}


def test_identities_are_given_by_their_ids_and_the_map_follows(imported: Imported) -> None:
    instance, warehouse = imported
    b2 = one(warehouse.engine, "SELECT id FROM users WHERE name = 'b2'")
    shown = change(instance, placeholder=[b2], dry_run=False)
    assert shown["names_added"] == 1
    assert shown["identity_rule"] != "in force"
    assert not check(instance).passed
    assert metadata(run_job(instance, "apply_filters")) == {"identities_moved": 1, "revisions": 0}
    assert people(warehouse.engine) == {"bob": "bob", "b2": "b2", "anna": "anna"}
    assert check(instance).passed
    assert change(instance, placeholder=[b2], remove=True, dry_run=False)["names_removed"] == 1


def test_an_identity_that_is_typed_is_refused_before_a_run_exists(imported: Imported) -> None:
    instance, _ = imported
    before = instance.get_runs_count()
    with pytest.raises(dg.DagsterInvalidConfigError):
        change(instance, ignore=["bob@example.com"])
    assert instance.get_runs_count() == before


def test_an_unknown_id_is_refused(imported: Imported) -> None:
    instance, _ = imported
    config = {"ops": {"change_names": {"config": {"ignore": [999]}}}}
    assert "The table `users` has no id 999." in failure_of(run_job(instance, "change_filters", config))
