"""Lookup of ids by digest; a missing name is counted and never shown."""

import pytest
from sqlalchemy import Engine

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.interning import lookup as module
from kmdb_dagster.warehouse.interning.interning import intern_identities, intern_keys
from kmdb_dagster.warehouse.interning.lookup import UnresolvedError, identity_ids, key_ids, persons_of
from testing.revisions import change, rows

NAMES = [f"user{number}@example.com" for number in range(25)]


def test_looked_up_ids_are_those_of_the_tables(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    intern_identities(engine, NAMES)
    intern_keys(engine, NAMES[::-1])
    change(engine, "UPDATE user_map SET user_id = 7 WHERE identity_id = 9")
    monkeypatch.setattr(module, "NAMES_PER_STATEMENT", 10)
    users, keys = (dict(rows(engine, f"SELECT {name} FROM {table}")) for name, table in TABLES)  # noqa: S608 - ours
    with transaction(engine) as connection:
        assert identity_ids(connection, NAMES) == users
        assert key_ids(connection, NAMES) == keys != users
        found = persons_of(connection, [*NAMES, *NAMES])
    assert {name: identity for name, (identity, _) in found.items()} == users
    assert [pair for pair in found.values() if pair[0] != pair[1]] == [(9, 7)]


TABLES = [("name, id", "users"), ("string, id", "`keys`")]


@pytest.mark.parametrize("look_up", [identity_ids, key_ids, persons_of])
def test_a_missing_name_is_counted_and_not_shown(engine: Engine, look_up: object) -> None:
    intern_identities(engine, NAMES)
    intern_keys(engine, NAMES)
    with transaction(engine) as connection, pytest.raises(UnresolvedError) as error:
        look_up(connection, [*NAMES, "anna@example.com", "carl@example.com"])  # type: ignore[operator]  # one of three
    assert str(error.value) == "The database lacks 2 of 27 names."


def test_an_identity_missing_in_the_map_only_names_realias(engine: Engine) -> None:
    intern_identities(engine, NAMES)
    change(engine, "DELETE FROM user_map LIMIT 3")
    with transaction(engine) as connection, pytest.raises(PermanentError, match=r"lacks 3 .* Run `kmdb realias`"):
        persons_of(connection, NAMES)


def test_ids_are_found_by_the_index_on_digests(engine: Engine) -> None:
    intern_identities(engine, NAMES)
    for statement in (module.KEYS, module.IDENTITIES, module.PERSONS):
        digests = ", ".join(f"0x{number:064x}" for number in range(999))
        plan = rows(engine, "EXPLAIN " + statement.format(digests=digests))
        assert "by_digest" in str(plan[0])
