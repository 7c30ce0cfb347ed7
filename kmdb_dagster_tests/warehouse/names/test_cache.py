"""Ids that are remembered: in the process, and in a Redis that may be anything but wrong."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, event

from dev.servers import REDIS, Server, running, start, stop
from kmdb_dagster.export.forgotten import digest
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ddl.flush import flush
from kmdb_dagster.warehouse.names import cache as module
from kmdb_dagster.warehouse.names.cache import IdCache
from kmdb_dagster_tests.warehouse.revisions import rows

NAMES = ["anna@example.com", "bob@example.com", "carl@example.com"]
DIGESTS = {digest(name): number for number, name in enumerate(NAMES, start=1)}


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """The Redis that all tests share, empty."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


@contextmanager
def statements_of(engine: Engine) -> Iterator[list[str]]:
    """What is sent to the server meanwhile."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def opened(database: str, redis_url: str | None) -> Warehouse:
    """As another process opens it."""
    return Warehouse(database_url(database), redis_url)


def test_what_one_process_looked_up_another_finds_in_redis(database: str, redis_url: str, redis: Redis) -> None:
    ids = opened(database, redis_url).interner().user_ids(NAMES)
    assert redis.dbsize() == 3
    other = opened(database, redis_url)
    interner = other.interner()
    with statements_of(other.engine) as sent:
        assert interner.user_ids(NAMES) == ids
    assert sent == []


def test_redis_gets_no_names(database: str, redis_url: str, redis: Redis) -> None:
    opened(database, redis_url).interner().user_ids(NAMES)
    assert "example" not in str([(key, redis.get(key)) for key in redis.scan_iter()])
    assert redis.dbsize() == 3


def test_what_redis_remembers_does_not_stay_for_ever(database: str, redis_url: str, redis: Redis) -> None:
    opened(database, redis_url).interner().user_ids(NAMES)
    assert all(0 < redis.ttl(key) <= module.SECONDS_TO_LIVE for key in redis.scan_iter())


def test_names_known_to_the_process_are_asked_for_nowhere(database: str) -> None:
    warehouse = opened(database, None)
    interner = warehouse.interner()
    ids = interner.user_ids(NAMES)
    with statements_of(warehouse.engine) as sent:
        assert interner.user_ids(NAMES) == ids
    assert sent == []


def test_keys_and_users_of_one_name_do_not_mix(database: str, redis_url: str, redis: Redis) -> None:
    del redis
    first = opened(database, redis_url).interner()
    first.user_ids(["other"])
    first.user_ids(["same"])
    first.key_ids(["same"])
    second = opened(database, redis_url).interner()
    assert (second.user_ids(["same"]), second.key_ids(["same"])) == ({"same": 2}, {"same": 1})


@pytest.mark.parametrize("empty", ["flushed", "never there"])
def test_without_redis_the_ids_are_the_same(database: str, redis_url: str, redis: Redis, empty: str) -> None:
    ids = opened(database, redis_url).interner().user_ids(NAMES)
    redis.flushall()
    # Nothing listens on port 1.
    url = redis_url if empty == "flushed" else "redis://127.0.0.1:1/0"
    assert opened(database, url).interner().user_ids(NAMES) == ids


def test_a_redis_that_is_killed_is_done_without(
    database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server: Server = start(REDIS, tmp_path)
    interner = opened(database, server.url).interner()
    ids = interner.user_ids(NAMES[:2])
    stop(server)
    more = interner.user_ids(NAMES)
    assert {name: more[name] for name in ids} == ids
    assert opened(database, None).interner().user_ids(NAMES) == more
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith("Redis (KMDB_REDIS_URL) does not answer")


def test_a_redis_that_is_full_is_done_without(database: str, tmp_path: Path) -> None:
    with running(REDIS, tmp_path, ["--maxmemory", "1"]) as server:
        interner = opened(database, server.url).interner()
        ids = interner.user_ids(NAMES)
        assert interner.user_ids(NAMES) == ids == opened(database, None).interner().user_ids(NAMES)


def test_a_redis_that_does_not_answer_is_done_without(database: str, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        interner = opened(database, f"redis://127.0.0.1:{silent.getsockname()[1]}/0").interner()
        assert interner.user_ids(NAMES) == opened(database, None).interner().user_ids(NAMES)
    # It is waited for once, not at each look-up.
    assert [record.getMessage() for record in caplog.records] == [
        "Redis (KMDB_REDIS_URL) does not answer: TimeoutError. Going on without it."
    ]


def test_a_revision_costs_a_handful_of_statements_however_many_names_it_has(database: str) -> None:
    warehouse = opened(database, None)
    known, new = [f"known{number}" for number in range(400)], [f"new{number}" for number in range(500)]
    ids = warehouse.interner().user_ids(known)
    other = opened(database, None)
    interner = other.interner()
    with statements_of(other.engine) as sent:
        found = interner.user_ids([*known, *new])
    # Look up, take the lock, look up again, who is forgotten, add, look up what was added, the map, give the lock back.
    assert len(sent) == 8
    assert {name: found[name] for name in known} == ids
    with statements_of(other.engine) as sent:
        assert interner.user_ids([*known, *new]) == found
    assert sent == []


@pytest.mark.parametrize("with_redis", [True, False])
def test_after_a_flush_no_old_id_is_used(database: str, redis_url: str, redis: Redis, *, with_redis: bool) -> None:
    del redis
    warehouse = opened(database, redis_url if with_redis else None)
    old = warehouse.interner().user_ids(NAMES)
    flush(warehouse.engine)
    new = warehouse.interner().user_ids([*NAMES[::-1], "dora"])
    assert new == dict(rows(warehouse.engine, "SELECT name, id FROM users"))
    assert set(new) > set(old)
    assert opened(database, redis_url).interner().user_ids(NAMES) == {name: new[name] for name in NAMES}


def test_the_process_forgets_before_it_grows_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCAL_ENTRIES", 3)
    cache = IdCache("test", None)
    cache.put("users", DIGESTS)
    assert cache.get("users", DIGESTS) == DIGESTS
    cache.put("keys", {b"came": 1})
    assert cache.get("users", DIGESTS) == DIGESTS
    cache.put("users", {b"more": 4})
    assert cache.get("users", DIGESTS) == {}
    assert cache.get("users", [b"more", b"none"]) == {b"more": 4}
    assert cache.get("keys", [b"came"]) == {b"came": 1}
