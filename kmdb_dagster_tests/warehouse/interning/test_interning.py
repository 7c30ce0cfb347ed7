"""Interning stores each name once, also by concurrent processes."""

import multiprocessing
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, event

from kmdb_dagster.digest import digest
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.interning.interning import intern_identities, intern_keys
from kmdb_dagster.warehouse.interning.lookup import identity_ids, key_ids
from testing.revisions import change, one, people, rows

MANY = [f"user{number}@example.com" for number in range(5000)]
DIFFERENT = [
    *("bob", "bob ", " bob", "Bob", "BOB", "böb", "bo\u0301b", "b\u00f6b\u200b", "bob\0", "bob\t"),
    *("", " ", "0", "00", "٣", "3", "\U0001f600", "\U0001f601", "ß", "ss", "ﬁ", "fi", "'; DROP TABLE users; --", "%s"),
    *("x" * 300, "x" * 299 + "y", "x" * 1_000_000, "x" * 1_000_001, "\U0001f600" * 100_000),
]


def users(engine: Engine, names: Collection[str]) -> dict[str, int]:
    """The ids of identities that are interned."""
    retry_transient(intern_identities)(engine, names)
    with transaction(engine) as connection:
        return identity_ids(connection, names)


def keys(engine: Engine, names: Collection[str]) -> dict[str, int]:
    """The ids of names that are interned."""
    intern_keys(engine, names)
    with transaction(engine) as connection:
        return key_ids(connection, names)


def intern_many(url: str) -> dict[str, int]:
    """In a process of its own; names come in another order in each."""
    return users(Warehouse(database_url(url)).engine, set(MANY))


def test_a_name_has_one_id(engine: Engine) -> None:
    names = ["signed up", "plan", "billing amount"]
    first = keys(engine, names)
    assert set(first) == set(names)
    assert len(set(first.values())) == 3
    assert keys(engine, [*names, "plan", "more"]) == {**first, "more": max(first.values()) + 1}
    assert rows(engine, "SELECT string, id FROM `keys` WHERE string <> 'more' ORDER BY id") == sorted(
        first.items(), key=lambda item: item[1]
    )


def test_no_names_need_no_statement(engine: Engine) -> None:
    engine.dispose()
    intern_identities(engine, [])
    assert engine.pool.checkedin() == 0  # type: ignore[attr-defined]  # it is a QueuePool


def test_known_names_use_up_no_ids(engine: Engine) -> None:
    for _ in range(3):
        users(engine, ["anna", "bob"])
    assert users(engine, ["carl"])["carl"] <= 3


@pytest.mark.parametrize(("intern", "table", "column"), [(users, "users", "name"), (keys, "`keys`", "string")])
def test_names_that_differ_in_any_character_have_different_ids(
    engine: Engine, intern: Callable[..., dict[str, int]], table: str, column: str
) -> None:
    ids = intern(engine, DIFFERENT)
    assert len(set(ids.values())) == len(DIFFERENT)
    assert intern(engine, DIFFERENT) == ids
    assert dict(rows(engine, f"SELECT {column}, id FROM {table}")) == ids  # noqa: S608 - ours


def test_the_server_compares_names_exactly(engine: Engine) -> None:
    users(engine, DIFFERENT)
    assert rows(engine, "SELECT name FROM users WHERE name = 'bob'") == [("bob",)]
    assert one(engine, "SELECT COUNT(DISTINCT name) FROM users") == len(DIFFERENT)


def test_the_digest_equals_sha2_of_the_server(engine: Engine) -> None:
    users(engine, DIFFERENT)
    assert one(engine, "SELECT COUNT(*) FROM users WHERE digest <> UNHEX(SHA2(name, 256))") == 0
    assert one(engine, "SELECT UNHEX(SHA2('bob@example.com', 256))") == digest("bob@example.com")


def test_every_new_identity_is_its_own_person(engine: Engine) -> None:
    users(engine, DIFFERENT)
    assert people(engine) == {name: name for name in DIFFERENT}


def test_interning_again_keeps_the_person_of_an_identity(engine: Engine) -> None:
    ids = users(engine, ["anna", "bob"])
    change(engine, f"UPDATE user_map SET user_id = {ids['anna']}")  # noqa: S608 - a number
    users(engine, ["bob", "carl"])
    assert people(engine) == {"anna": "anna", "bob": "anna", "carl": "carl"}


def test_concurrent_interning_of_overlapping_names_succeeds(engine: Engine) -> None:
    def add(seed: int) -> None:
        some = Random(seed).sample(MANY[:100], 30)
        assert set(users(engine, some)) == set(some)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(60)))
    assert one(engine, "SELECT COUNT(*) FROM users") == one(engine, "SELECT COUNT(*) FROM user_map") == 100


@pytest.mark.parametrize("number", range(3))
def test_threads_that_intern_the_same_names_get_the_same_ids(engine: Engine, number: int) -> None:
    start = Barrier(3)

    def add(order: int) -> dict[str, int]:
        start.wait()
        return users(engine, MANY[order * 500 :] + MANY[: order * 500])

    with ThreadPoolExecutor(3) as pool:
        one_, other, third = pool.map(add, range(number, number + 3))
    assert one_ == other == third
    assert one(engine, "SELECT COUNT(*) FROM users") == len(MANY) == len(set(one_.values()))
    assert one(engine, "SELECT COUNT(*) FROM user_map WHERE user_id = identity_id") == len(MANY)


def test_interning_takes_a_few_statements_whatever_the_number_of_names(engine: Engine) -> None:
    known, new = [f"known{number}" for number in range(400)], [f"new{number}" for number in range(500)]
    ids = users(engine, known)
    with statements_of(engine) as sent:
        intern_identities(engine, [*known, *new])
    # Look up, take the lock, look up again, who is forgotten, add, look up what was added, the map, give the lock back.
    assert len(sent) == 8
    with statements_of(engine) as sent:
        found = users(engine, [*known, *new])
    assert len(sent) == 2
    assert {name: found[name] for name in known} == ids


@contextmanager
def statements_of(engine: Engine) -> Iterator[list[str]]:
    """What is sent to the server meanwhile."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def test_processes_that_intern_the_same_names_get_the_same_ids(database: str, engine: Engine) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        first, second = pool.map(intern_many, [database, database])
    assert first == second
    assert one(engine, "SELECT COUNT(*) FROM users") == len(MANY)
    # Statements of many rows leave gaps in the numbers, a race none.
    assert one(engine, "SELECT MAX(id) FROM users") < 2 * len(MANY)


def test_a_name_too_large_for_the_server_is_a_permanent_error(engine: Engine) -> None:
    most = one(engine, "SELECT @@max_allowed_packet")
    with pytest.raises(PermanentError, match=r"max_allowed_packet is [0-9,]+: raise it to 64M"):
        keys(engine, ["'" * (most // 2)])
    assert one(engine, "SELECT COUNT(*) FROM `keys`") == 0
