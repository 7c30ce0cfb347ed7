"""`facts.sql` makes views in DuckDB that say the same as the tables."""

import duckdb

from kmdb_dagster_tests.columnar.copies import Copy
from testing.buckets import T, alias, event
from testing.revisions import rows

LINES = (event("came", "bob", T, plan="it's"), event("went", "b2", T + 1), alias("bob", "b2"), event("came", "anna"))
EVENTS = """
    SELECT e.id, e.t, k.string, e.user_id, e.identity_id, e.n FROM events e JOIN `keys` k ON k.id = e.n ORDER BY e.id
"""
PROPERTIES = """
    SELECT p.id, p.t, k.string, p.value, p.user_id, p.event_id, p.identity_id, p.key
    FROM properties p JOIN `keys` k ON k.id = p.key ORDER BY p.id
"""


def test_views_say_the_same_as_the_tables(copy: Copy) -> None:
    copy.partition()
    copy.revisions.put(1, *LINES)
    copy.refresh()
    with duckdb.connect() as duck:
        duck.execute((copy.folder / "facts.sql").read_text())
        assert duck.sql("FROM events ORDER BY id").fetchall() == rows(copy.engine, EVENTS)
        assert duck.sql("FROM properties ORDER BY id").fetchall() == rows(copy.engine, PROPERTIES)
        duck.execute((copy.folder / "people" / "people.sql").read_text())
        found = duck.sql(
            "SELECT DISTINCT person, name FROM events JOIN people USING (user_id, identity_id) ORDER BY ALL"
        )
        assert found.fetchall() == [("anna", "came"), ("b2", "came"), ("b2", "went")]


def test_views_of_an_empty_warehouse_are_empty(copy: Copy) -> None:
    copy.refresh()
    with duckdb.connect() as duck:
        duck.execute((copy.folder / "facts.sql").read_text())
        assert duck.sql("FROM events").fetchall() == duck.sql("FROM properties").fetchall() == []


def test_a_query_goes_on_with_the_files_it_began_with(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    with duckdb.connect() as duck:
        duck.execute((copy.folder / "facts.sql").read_text())
        before = duck.sql("SELECT id FROM events ORDER BY id").fetchall()
        copy.revisions.put(1, event("came", "zoe"))
        copy.refresh()
        assert duck.sql("SELECT id FROM events ORDER BY id").fetchall() == before
