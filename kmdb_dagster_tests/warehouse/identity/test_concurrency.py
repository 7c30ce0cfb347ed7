"""Concurrent loads, merges, moves and rebuilds."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine

from kmdb_dagster.lake import ParsedFile
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.map_lock import increment_map_version, lock_map
from kmdb_dagster.warehouse.identity.user_map import move_facts
from kmdb_dagster.warehouse.interning.interning import intern_identities
from kmdb_dagster.warehouse.interning.lookup import UnresolvedError
from testing.buckets import alias, event, property_set
from testing.revisions import (
    PATIENCE,
    Revisions,
    at_the_statement,
    change,
    content,
    locks_waited_for,
    misplaced,
    one,
    people,
    rows,
    wait_until,
)


class Held:
    """A file that stops a load in the middle: after its second record, until it may go on."""

    def __init__(self, parsed: ParsedFile) -> None:
        self._parsed = parsed
        self._reached, self._go_on = Event(), Event()
        self.revision, self.etag, self.size, self.weight = parsed.revision, parsed.etag, parsed.size, 0

    def batches(self, size: int, *, columns: list[str] | None = None) -> Iterator[Any]:
        """The lines one by one."""
        del size, columns
        for number, batch in enumerate(self._parsed.batches(1)):
            yield batch
            # The load inserts the first record when it has the second.
            if number:
                self._reached.set()
                assert self._go_on.wait(PATIENCE)

    @contextmanager
    def in_the_middle(self) -> Iterator[None]:
        """While the block lasts the load stands still."""
        assert self._reached.wait(PATIENCE)
        try:
            yield
        finally:
            self._go_on.set()


@pytest.fixture(autouse=True)
def _record_by_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads insert each record by itself, so that something can happen between two of them."""
    monkeypatch.setattr("kmdb_dagster.warehouse.loading.facts.even_batches.__defaults__", (1,))


@pytest.fixture
def run() -> Iterator[Callable[..., "Future[Any]"]]:
    """Start something in a thread of its own."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


FACTS = [line for _ in range(2) for line in (event("came", "b", plan="pro"), property_set("b", sex="f"))]


def held_open(revisions: Revisions, revision: int) -> Held:
    """A resolved revision of these facts, whose load will stop in the middle."""
    parsed = revisions.parsed(revision, *FACTS)
    revisions.resolve_parsed(revision, parsed)
    return Held(parsed)


def test_a_merge_does_not_wait_for_a_load_whose_facts_are_moved_to_the_new_person_afterwards(
    engine: Engine, revisions: Revisions, run: Callable[..., "Future[Any]"]
) -> None:
    held = held_open(revisions, 1)
    loading = run(revisions.load_parsed, 1, held)
    with held.in_the_middle():
        assert revisions.resolve(2, alias("b", "a")).changed == 1
        assert people(engine)["b"] == "a"
        assert one(engine, "SELECT COUNT(*) FROM events") == 0
    assert loading.result().events == 2
    assert misplaced(engine) == 6
    move_facts(engine)
    assert misplaced(engine) == 0


def test_facts_whose_person_changes_and_is_moved_before_they_are_inserted_are_moved_after_the_load(
    database: str, warehouse: Warehouse, revisions: Revisions, tmp_path: Path
) -> None:
    other = Revisions(Warehouse(database_url(database)), tmp_path)

    def merge_and_move() -> None:
        other.resolve(2, alias("b", "a"))
        # The facts are not in yet, so the move that the merge recorded does not find them.
        assert move_facts(other.warehouse.engine) == 1

    revisions.resolve(1, *FACTS, event("came", "x"))
    with at_the_statement(warehouse.engine, "LOAD DATA", merge_and_move):
        revisions.load(1, *FACTS, event("came", "x"))
    other.warehouse.close()
    assert rows(warehouse.engine, "SELECT name FROM pending_moves JOIN users ON users.id = identity_id") == [("b",)]
    assert misplaced(warehouse.engine) == 6
    move_facts(warehouse.engine)
    assert misplaced(warehouse.engine) == 0


def test_a_load_is_not_committed_if_its_revision_was_resolved_from_another_file_meanwhile(
    engine: Engine, revisions: Revisions, run: Callable[..., "Future[Any]"]
) -> None:
    held = held_open(revisions, 1)
    loading = run(revisions.load_parsed, 1, held)
    with held.in_the_middle():
        revisions.resolve(1, *FACTS, alias("c", "d"))
    with pytest.raises(UnresolvedError, match="Revision 1 is not resolved from the file that is parsed"):
        loading.result()
    assert one(engine, "SELECT COUNT(*) FROM events") == 0


def test_a_load_waits_at_its_commit_for_a_change_of_the_map(
    warehouse: Warehouse, revisions: Revisions, run: Callable[..., "Future[Any]"]
) -> None:
    engine, parsed = warehouse.engine, revisions.parsed(1, *FACTS)
    intern_identities(engine, ["a"])
    revisions.resolve_parsed(1, parsed)
    with engine.begin() as merging:
        lock_map(merging)
        loading = run(revisions.load_parsed, 1, parsed)
        wait_until(lambda: locks_waited_for(engine))
        merging.exec_driver_sql("UPDATE user_map SET user_id = (SELECT id FROM users WHERE name = 'a')")
        increment_map_version(merging)
    loading.result()
    move_facts(engine)
    assert people(engine) == {"a": "a", "b": "a"}
    assert misplaced(engine) == 0


def test_facts_of_a_load_and_of_its_neighbours_are_moved_when_the_map_has_changed_meanwhile(
    engine: Engine, revisions: Revisions, run: Callable[..., "Future[Any]"]
) -> None:
    for revision in (1, 3):
        revisions.load(revision, *FACTS)
    held = held_open(revisions, 2)
    loading = run(revisions.load_parsed, 2, held)
    with held.in_the_middle():
        revisions.resolve(4, alias("b", "a"))
    loading.result()
    move_facts(engine)
    assert misplaced(engine) == 0


def test_loads_of_different_revisions_do_not_wait_for_each_other(
    engine: Engine, revisions: Revisions, run: Callable[..., "Future[Any]"]
) -> None:
    held = held_open(revisions, 2)
    loading = run(revisions.load_parsed, 2, held)
    with held.in_the_middle():
        for revision in (1, 3):
            assert revisions.load(revision, *FACTS).events == 2
        assert one(engine, "SELECT COUNT(*) FROM events") == 4
    loading.result()
    assert one(engine, "SELECT COUNT(*) FROM events") == 6


def test_moved_facts_follow_a_later_change_of_the_map(
    warehouse: Warehouse, revisions: Revisions, run: Callable[..., "Future[Any]"]
) -> None:
    engine = warehouse.engine
    revisions.load(1, *FACTS)
    revisions.resolve(2, alias("b", "a"))
    with engine.begin() as merging:
        lock_map(merging)
        moving = run(move_facts, engine)
        wait_until(lambda: locks_waited_for(engine))
        merging.exec_driver_sql("UPDATE user_map SET user_id = identity_id")
        increment_map_version(merging)
    assert moving.result() == 2
    assert misplaced(engine) == 0


def test_spans_are_searched_and_facts_moved_during_merges_and_loads(
    engine: Engine, revisions: Revisions, run: Callable[..., "Future[Any]"]
) -> None:
    revisions.put(1, *FACTS)
    change(engine, "UPDATE events SET user_id = 0", "INSERT INTO pending_spans (table_name) VALUES ('events')")
    held = held_open(revisions, 3)
    loading = run(revisions.load_parsed, 3, held)
    with held.in_the_middle(), engine.begin() as merging:
        merging.exec_driver_sql("SELECT * FROM user_map FOR UPDATE")
        assert move_facts(engine) == 1
    loading.result()
    revisions.put(2, alias("b", "a"))
    move_facts(engine)
    assert misplaced(engine) == 0


def test_a_span_that_another_process_searches_is_skipped(engine: Engine, revisions: Revisions) -> None:
    revisions.put(1, *FACTS)
    change(engine, "UPDATE events SET user_id = 0", "INSERT INTO pending_spans (table_name) VALUES ('events')")
    with engine.begin() as looking:
        looking.exec_driver_sql("SELECT * FROM pending_spans FOR UPDATE")
        assert move_facts(engine) == 0
        assert revisions.resolve(2, alias("b", "a")).changed == 1
    assert move_facts(engine) == 2
    assert misplaced(engine) == 0


def test_facts_that_another_process_moves_are_skipped(engine: Engine, revisions: Revisions) -> None:
    revisions.load(1, *FACTS)
    revisions.resolve(2, alias("b", "a"))
    with engine.begin() as moving:
        moving.exec_driver_sql("SELECT * FROM pending_moves FOR UPDATE")
        assert move_facts(engine) == 0
    assert move_facts(engine) == 1
    assert misplaced(engine) == 0


def lines_of(revision: int) -> list[bytes]:
    """Chains through all revisions, and facts of everybody in them."""
    names = [f"user{(revision * 7 + number) % 60}" for number in range(25)]
    facts = [line for name in names for line in (event("came", name, plan="pro"), property_set(name, sex="f"))]
    return [*facts, *(alias(f"user{revision * 3 + step}", f"user{revision * 3 + step + 1}") for step in range(4))]


def test_concurrent_imports_give_the_result_of_sequential_ones(
    engine: Engine, revisions: Revisions, run: Callable[..., "Future[Any]"]
) -> None:
    numbers = range(1, 17)
    put = retry_transient(revisions.put)
    running = [run(put, revision, *lines_of(revision)) for revision in numbers]
    for future in running:
        future.result()
    at_once = content(engine)
    assert misplaced(engine) == 0
    for revision in reversed(numbers):
        revisions.put(revision, *lines_of(revision))
    assert content(engine) == at_once
    assert len(set(people(engine).values())) < len(people(engine))


def test_concurrent_imports_of_imported_revisions_change_nothing(
    engine: Engine, revisions: Revisions, run: Callable[..., "Future[Any]"]
) -> None:
    numbers = range(1, 9)
    for revision in numbers:
        revisions.put(revision, *lines_of(revision))
    before = content(engine)
    # Half of them with fewer aliases first, so that people are taken apart and put together meanwhile.
    running = [run(retry_transient(revisions.put), revision, *lines_of(revision)[:-revision]) for revision in numbers]
    for future in running:
        future.result()
    running = [run(retry_transient(revisions.put), revision, *lines_of(revision)) for revision in numbers]
    for future in running:
        future.result()
    assert misplaced(engine) == 0
    assert content(engine) == before


def test_a_revision_loaded_by_many_processes_is_stored_exactly_once(
    engine: Engine, revisions: Revisions, run: Callable[..., "Future[Any]"]
) -> None:
    parsed = revisions.parsed(1, *FACTS)
    revisions.resolve_parsed(1, parsed)
    for _ in range(2):
        running = [run(retry_transient(revisions.load_parsed), 1, parsed) for _ in range(4)]
        assert {future.result().events for future in running} == {2}
    assert one(engine, "SELECT COUNT(*) FROM events") == 2
    assert one(engine, "SELECT COUNT(*) FROM properties") == 4
    assert one(engine, "SELECT COUNT(*) FROM revisions") == 1
