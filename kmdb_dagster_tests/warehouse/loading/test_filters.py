"""Filters: what they exclude, and how it is counted."""

import pytest
from sqlalchemy import Engine, text

from kmdb_dagster.warehouse.ledger.ledger import Entry
from kmdb_dagster.warehouse.schema.row_ids import row_id
from testing.buckets import T, alias, event, line, property_set
from testing.revisions import Revisions, change, people, rows


def keep_out(engine: Engine, table: str, *names: str) -> None:
    with engine.begin() as connection:
        for name in names:
            connection.execute(text(f"INSERT INTO {table} (name) VALUES (:name)"), {"name": name})  # noqa: S608 - ours


def fates(entry: Entry) -> tuple[int, int, int, int]:
    assert entry.adds_up
    return entry.imported, entry.ignored, entry.blank, entry.rejected


def test_everything_is_imported_without_filters(revisions: Revisions) -> None:
    assert fates(revisions.load(1, event("came"), property_set(plan="pro"), b"\n", b"x\n")) == (2, 0, 1, 1)


def test_nothing_of_an_ignored_user_is_imported(engine: Engine, revisions: Revisions) -> None:
    keep_out(engine, "ignored_users", "bob", "anna")
    lines = [event("came", "bob", plan="pro"), property_set("anna", plan="pro"), event("came", "carl")]
    assert fates(revisions.load(1, *lines)) == (1, 2, 0, 0)
    assert rows(engine, "SELECT u.name FROM events e JOIN users u ON u.id = e.identity_id") == [("carl",)]
    assert rows(engine, "SELECT * FROM properties") == []


@pytest.mark.parametrize("name", ["Bob", "bob ", "bób", "bo", "bob@example.com"])
def test_users_are_ignored_by_their_exact_name(engine: Engine, revisions: Revisions, name: str) -> None:
    keep_out(engine, "ignored_users", "bob")
    assert fates(revisions.load(1, event("came", name))) == (1, 0, 0, 0)


def test_a_whitelist_admits_only_its_events(engine: Engine, revisions: Revisions) -> None:
    keep_out(engine, "whitelisted_events", "came")
    entry = revisions.load(1, event("came"), event("Came"), event("went", plan="pro"), property_set(plan="pro"))
    assert fates(entry) == (2, 2, 0, 0)
    assert (entry.events, entry.property_sets, entry.properties) == (1, 1, 1)


def test_a_blacklisted_property_is_filtered_and_the_others_keep_their_ids(engine: Engine, revisions: Revisions) -> None:
    keep_out(engine, "blacklisted_properties", "b")
    entry = revisions.load(1, event("came", a="1", b="2", c="3"))
    assert rows(engine, "SELECT id, value FROM properties ORDER BY id") == [
        (row_id(1, 1, 1), "1"),
        (row_id(1, 1, 3), "3"),
    ]
    assert (entry.events, entry.properties) == (1, 2)


def test_an_event_is_imported_without_its_blacklisted_properties(engine: Engine, revisions: Revisions) -> None:
    keep_out(engine, "blacklisted_properties", "a", "b")
    entry = revisions.load(1, event("came", a="1", b="2"))
    assert fates(entry) == (1, 0, 0, 0)
    assert (entry.events, entry.properties) == (1, 0)


def test_a_property_set_with_only_blacklisted_properties_is_ignored(engine: Engine, revisions: Revisions) -> None:
    keep_out(engine, "blacklisted_properties", "a", "b")
    entry = revisions.load(1, property_set(a="1", b="2"), property_set(a="1", c="3"))
    assert fates(entry) == (1, 1, 0, 0)
    assert (entry.property_sets, entry.properties) == (1, 1)


@pytest.mark.parametrize("table", ["ignored_users", "whitelisted_events"])
def test_a_line_that_is_an_alias_and_an_ignored_event_counts_as_imported(
    engine: Engine, revisions: Revisions, table: str
) -> None:
    keep_out(engine, table, "bob")
    both = line({"_n": "came", "_p": "bob", "_p2": "anna", "_t": T})
    revisions.resolve(1, both)
    entry = revisions.load(1, both)
    assert fates(entry) == (1, 0, 0, 0)
    assert (entry.events, entry.aliases, entry.t_min) == (0, 1, None)


def test_aliases_of_ignored_users_are_imported_and_connect_nothing(engine: Engine, revisions: Revisions) -> None:
    keep_out(engine, "ignored_users", "bob")
    assert fates(revisions.put(1, alias("bob", "anna"), alias("anna", "carl"))) == (2, 0, 0, 0)
    assert people(engine) == {"bob": "bob", "anna": "anna", "carl": "anna"}
    assert rows(engine, "SELECT COUNT(*) FROM aliases") == [(2,)]


def test_a_filter_takes_effect_when_a_revision_is_loaded_again(engine: Engine, revisions: Revisions) -> None:
    lines = [event("came", "bob", t=T - 5), event("came", "anna", t=T)]
    first = revisions.load(1, *lines)
    keep_out(engine, "ignored_users", "bob")
    second = revisions.load(1, *lines)
    assert (second.ignored, second.events, second.t_min) == (1, 1, first.t_max)
    change(engine, "DELETE FROM ignored_users")
    assert revisions.load(1, *lines) == first
    assert rows(engine, "SELECT COUNT(*) FROM events") == [(2,)]
