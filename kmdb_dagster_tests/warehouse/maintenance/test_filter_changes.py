"""Changing the filters, and what was loaded with other ones."""

import pytest
from sqlalchemy import Engine

from kmdb_dagster.digest import digest
from kmdb_dagster.errors import RequestError
from kmdb_dagster.warehouse.identity.rebuild import realias
from kmdb_dagster.warehouse.maintenance.filter_changes import (
    Change,
    Changed,
    FiltersInForce,
    NameList,
    apply_change,
    filters_after,
    names_of_ids,
    read_filters_in_force,
)
from kmdb_dagster.warehouse.maintenance.flush import flush
from testing.buckets import alias, event
from testing.revisions import Revisions, change, one, rows


def add(engine: Engine, names: NameList, *values: str) -> Changed:
    return apply_change(engine, Change(names, add=frozenset(values)))


def remove(engine: Engine, names: NameList, *values: str) -> Changed:
    return apply_change(engine, Change(names, remove=frozenset(values)))


def in_force(engine: Engine) -> FiltersInForce:
    return read_filters_in_force(engine, numeric_apart=False)


@pytest.mark.parametrize("names", NameList)
def test_a_name_is_added_once_and_removed(engine: Engine, names: NameList) -> None:
    assert add(engine, names, "bob", "Bob") == Changed(2, 0, 0)
    assert add(engine, names, "bob", "bob ") == Changed(1, 0, 0)
    assert in_force(engine).counts[names] == 3
    assert remove(engine, names, "bob", "anna") == Changed(0, 1, 0)
    assert rows(engine, f"SELECT name FROM {names} ORDER BY name") == [("Bob",), ("bob ",)]  # noqa: S608 - ours


def test_a_name_that_was_inserted_twice_by_hand_counts_once_and_is_removed_as_a_whole(engine: Engine) -> None:
    change(engine, "INSERT INTO whitelisted_events (name) VALUES ('came'), ('came')")
    assert in_force(engine).counts[NameList.WHITELIST] == 1
    assert remove(engine, NameList.WHITELIST, "came") == Changed(0, 1, 0)
    assert in_force(engine).counts[NameList.WHITELIST] == 0


def test_an_erased_identity_is_not_stored_again(engine: Engine) -> None:
    change(engine, f"INSERT INTO forgotten_identities (digest) VALUES (0x{digest('bob').hex()})")  # noqa: S608 - ours
    assert add(engine, NameList.IGNORE, "bob", "anna") == Changed(1, 0, 1)
    assert rows(engine, "SELECT name FROM ignored_users") == [("anna",)]


@pytest.mark.parametrize("names", [NameList.IGNORE, NameList.WHITELIST, NameList.BLACKLIST])
def test_revisions_that_were_loaded_before_a_change_are_listed_until_they_are_loaded_again(
    engine: Engine, revisions: Revisions, names: NameList
) -> None:
    for number in (1, 2):
        revisions.put(number, event("came"))
    assert in_force(engine).is_current
    add(engine, names, "x")
    assert in_force(engine).other == [1, 2]
    revisions.put(2, event("came"))
    assert in_force(engine).other == [1]
    remove(engine, names, "x")
    assert in_force(engine).other == [2]


def test_a_revision_of_before_the_ledger_recorded_filters_is_counted_apart(
    engine: Engine, revisions: Revisions
) -> None:
    revisions.put(1, event("came"))
    change(engine, "UPDATE revisions SET filters = NULL", "INSERT INTO revisions (revision) VALUES (2)")
    add(engine, NameList.BLACKLIST, "plan")
    found = in_force(engine)
    assert (found.other, found.not_recorded, found.is_current) == ([], 1, True)


@pytest.mark.parametrize("names", [NameList.PLACEHOLDER, NameList.IGNORE])
def test_a_change_of_the_rule_of_identities_is_pending_until_realias(
    engine: Engine, revisions: Revisions, names: NameList
) -> None:
    revisions.put(1, alias("bob", "anonymous"), alias("anna", "anonymous"))
    add(engine, names, "anonymous")
    assert in_force(engine).is_rule_pending
    realias(engine, revisions.warehouse.generation())
    assert not in_force(engine).is_rule_pending


def test_a_whitelist_and_a_blacklist_with_the_same_name_are_different_filters(
    engine: Engine, revisions: Revisions
) -> None:
    add(engine, NameList.WHITELIST, "plan")
    revisions.put(1, event("plan"))
    remove(engine, NameList.WHITELIST, "plan")
    add(engine, NameList.BLACKLIST, "plan")
    assert in_force(engine).other == [1]


def test_nothing_is_loaded_with_other_filters_after_a_flush_and_the_filters_stay(
    engine: Engine, revisions: Revisions
) -> None:
    revisions.put(1, event("came"))
    add(engine, NameList.BLACKLIST, "plan")
    flush(engine)
    found = in_force(engine)
    assert (found.other, found.counts[NameList.BLACKLIST]) == ([], 1)


def test_the_filters_after_a_change_are_computed_without_it(engine: Engine) -> None:
    add(engine, NameList.BLACKLIST, "a", "b")
    changes = [
        Change(NameList.BLACKLIST, add=frozenset({"c"}), remove=frozenset({"a"})),
        Change(NameList.PLACEHOLDER, add=frozenset({"x"})),
    ]
    with engine.connect() as connection:
        assert filters_after(connection, changes).blacklisted_properties == {"b", "c"}
    assert one(engine, "SELECT COUNT(*) FROM blacklisted_properties") == 2


def test_identities_are_named_by_their_ids_and_an_unknown_id_is_refused(engine: Engine, revisions: Revisions) -> None:
    revisions.put(1, event("came", "bob"), event("came", "anna"))
    bob = one(engine, "SELECT id FROM users WHERE name = 'bob'")
    assert names_of_ids(engine, [bob]) == {"bob"}
    assert names_of_ids(engine, []) == frozenset()
    with pytest.raises(RequestError, match="The table `users` has no id 999"):
        names_of_ids(engine, [bob, 999])
