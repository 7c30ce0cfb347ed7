"""Names to ids."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from random import Random
from threading import Barrier

import pytest
from sqlalchemy import Engine

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.export.forgotten import digest
from kmdb_dagster.pipeline.steps import patiently
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.names.cache import IdCache
from kmdb_dagster.warehouse.names.interning import Interner
from kmdb_dagster_tests.warehouse.revisions import change, one, people, rows

MANY = [f"user{number}@example.com" for number in range(5000)]
DIFFERENT = [
    *("bob", "bob ", " bob", "Bob", "BOB", "böb", "bo\u0301b", "b\u00f6b\u200b", "bob\0", "bob\t"),
    *("", " ", "0", "00", "٣", "3", "\U0001f600", "\U0001f601", "ß", "ss", "ﬁ", "fi", "'; DROP TABLE users; --", "%s"),
    *("x" * 300, "x" * 299 + "y", "x" * 1_000_000, "x" * 1_000_001, "\U0001f600" * 100_000),
]


def fresh(engine: Engine) -> Interner:
    """An interner that remembers nothing."""
    return Interner(engine, IdCache("test", None))


def intern_many(url: str) -> dict[str, int]:
    """In a process of its own; names come in another order in each."""
    warehouse = Warehouse(database_url(url))
    return patiently(fresh(warehouse.engine).user_ids)(set(MANY))


def test_a_name_has_one_id_however_often_it_is_asked_for(engine: Engine) -> None:
    names = ["signed up", "plan", "billing amount"]
    first = fresh(engine).key_ids(names)
    assert set(first) == set(names)
    assert len(set(first.values())) == 3
    assert fresh(engine).key_ids([*names, "plan", "more"]) == {**first, "more": max(first.values()) + 1}
    assert rows(engine, "SELECT string, id FROM `keys` WHERE string <> 'more' ORDER BY id") == sorted(
        first.items(), key=lambda item: item[1]
    )


def test_nothing_is_asked_for_no_names(engine: Engine) -> None:
    engine.dispose()
    assert fresh(engine).user_ids([]) == {}
    assert engine.pool.checkedin() == 0  # type: ignore[attr-defined]  # it is a QueuePool


def test_known_names_use_up_no_ids(engine: Engine) -> None:
    for _ in range(3):
        fresh(engine).user_ids(["anna", "bob"])
    assert fresh(engine).user_ids(["carl"])["carl"] <= 3


@pytest.mark.parametrize("kind", ["user_ids", "key_ids"])
def test_names_that_differ_at_all_are_different(engine: Engine, kind: str) -> None:
    ids = getattr(fresh(engine), kind)(DIFFERENT)
    assert len(set(ids.values())) == len(DIFFERENT)
    assert getattr(fresh(engine), kind)(DIFFERENT) == ids
    table, column = ("users", "name") if kind == "user_ids" else ("`keys`", "string")
    assert dict(rows(engine, f"SELECT {column}, id FROM {table}")) == ids  # noqa: S608 - ours


def test_the_server_compares_names_exactly(engine: Engine) -> None:
    fresh(engine).user_ids(DIFFERENT)
    assert rows(engine, "SELECT name FROM users WHERE name = 'bob'") == [("bob",)]
    assert one(engine, "SELECT COUNT(DISTINCT name) FROM users") == len(DIFFERENT)


def test_the_digest_is_what_sql_makes_of_the_name(engine: Engine) -> None:
    fresh(engine).user_ids(DIFFERENT)
    assert one(engine, "SELECT COUNT(*) FROM users WHERE digest <> UNHEX(SHA2(name, 256))") == 0
    assert one(engine, "SELECT UNHEX(SHA2('bob@example.com', 256))") == digest("bob@example.com")


def test_every_new_identity_stands_for_itself(engine: Engine) -> None:
    fresh(engine).user_ids(DIFFERENT)
    assert people(engine) == {name: name for name in DIFFERENT}


def test_asking_again_does_not_change_whose_identity_it_is(engine: Engine) -> None:
    ids = fresh(engine).user_ids(["anna", "bob"])
    change(engine, f"UPDATE user_map SET user_id = {ids['anna']}")  # noqa: S608 - a number
    fresh(engine).user_ids(["bob", "carl"])
    assert people(engine) == {"anna": "anna", "bob": "anna", "carl": "carl"}


def test_many_that_add_some_of_the_same_names_all_find_them(engine: Engine) -> None:
    def add(seed: int) -> None:
        some = Random(seed).sample(MANY[:100], 30)
        assert set(fresh(engine).user_ids(some)) == set(some)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(60)))
    assert one(engine, "SELECT COUNT(*) FROM users") == one(engine, "SELECT COUNT(*) FROM user_map") == 100


@pytest.mark.parametrize("number", range(3))
def test_threads_that_add_the_same_names_agree(engine: Engine, number: int) -> None:
    start = Barrier(3)

    def add(order: int) -> dict[str, int]:
        start.wait()
        return patiently(fresh(engine).user_ids)(MANY[order * 500 :] + MANY[: order * 500])

    with ThreadPoolExecutor(3) as pool:
        one_, other, third = pool.map(add, range(number, number + 3))
    assert one_ == other == third
    assert one(engine, "SELECT COUNT(*) FROM users") == len(MANY) == len(set(one_.values()))
    assert one(engine, "SELECT COUNT(*) FROM user_map WHERE user_id = identity_id") == len(MANY)


def test_processes_that_add_the_same_names_agree(database: str, engine: Engine) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        first, second = pool.map(intern_many, [database, database])
    assert first == second
    assert one(engine, "SELECT COUNT(*) FROM users") == len(MANY)
    # Statements of many rows leave gaps in the numbers, a race none.
    assert one(engine, "SELECT MAX(id) FROM users") < 2 * len(MANY)


def test_a_name_too_large_for_the_server_is_an_error_that_does_not_pass(engine: Engine) -> None:
    most = one(engine, "SELECT @@max_allowed_packet")
    with pytest.raises(PermanentError, match=r"max_allowed_packet is [0-9,]+: raise it to 64M"):
        fresh(engine).key_ids(["'" * (most // 2)])
    assert one(engine, "SELECT COUNT(*) FROM `keys`") == 0
