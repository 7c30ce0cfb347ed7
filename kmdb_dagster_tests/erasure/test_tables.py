"""Erasure removes a person from all tables, whatever the order of imports, and whenever a process is killed."""

import random
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from kmdb_dagster.digest import digest
from kmdb_dagster.erasure import tables
from kmdb_dagster.erasure.erase import ErasureCounts, erase_people
from kmdb_dagster.erasure.requests import request_erasure
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.lake import Lake
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.interning.interning import intern_identities
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.maintenance.filter_changes import read_filters_in_force
from kmdb_dagster_tests.erasure.site import REVISIONS, Erase, Site, bytes_below
from testing.buckets import T, alias, event, line, property_set
from testing.databases import empty_tables, new_warehouse
from testing.revisions import change, content, one, people, rows
from testing.workers import Worker, at_once, count_moments, killed_at, workers

FOLDER = b"a data folder's "
NAMES = ("bob", "bób", "7", "007", "anna", "carl")
REJECTED = (b'{"_p":"bob","_t":"x"}\n', b'{"_n":"a" "_p":"b\\303\\263b"}\n', b"anna,came\n", b"nonsense\n")
TIMES = st.integers(T, T + 2)
NAME = st.sampled_from(NAMES)
LINES = st.lists(
    st.one_of(
        st.builds(alias, NAME, NAME),
        st.builds(lambda one, other: line({"_n": "came", "_p": one, "_p2": other, "_t": T}), NAME, NAME),
        st.builds(lambda name, t: event("came", name, t, plan="pro"), NAME, TIMES),
        st.builds(lambda name, t: property_set(name, t, sex="f"), NAME, TIMES),
        st.sampled_from([*REJECTED, b"\n"]),
    ),
    max_size=6,
)


@pytest.fixture(scope="module")
def reference(server_url: str) -> Iterator[Warehouse]:
    """A second warehouse, for the expected content."""
    with new_warehouse(server_url) as opened:
        yield opened


def test_erasure_removes_all_data_of_a_person_and_importing_again_restores_none(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    site = Site(warehouse, tmp_path, REVISIONS)
    site.import_revisions(1, 2, 3)
    assert set(people(warehouse.engine)) == {"bob", "x1", "x2", "anna", "carl"}
    done = site.erase("x1")
    assert done == ErasureCounts(3, 2, 2, 2, 2, 3, 3)
    for _ in range(2):
        assert people(warehouse.engine) == {"anna": "anna", "carl": "anna"}
        assert rows(warehouse.engine, "SELECT revision, raw FROM rejected_lines") == [(2, b"no json")]
        assert one(warehouse.engine, "SELECT COUNT(*) FROM events") == 3
        assert not any(name in bytes_below(site.lake / "parsed") for name in (b"bob", b"x1", b"x2"))
        assert not any(name in bytes_below(site.lake / "raw") for name in (b"bob", b"x1", b"x2"))
        found = site.content()
        site.import_revisions(3, 2, 1)
    assert found == site.content()
    assert site.erase("x1") == ErasureCounts()


def test_an_erasure_requested_before_the_import_has_the_same_result(
    warehouse: Warehouse, reference: Warehouse, tmp_path: Path
) -> None:
    site, other = Site(warehouse, tmp_path / "a", REVISIONS), Site(reference, tmp_path / "b", REVISIONS)
    empty_tables(reference.engine)
    site.erase("bob")
    site.import_revisions(3, 2, 1)
    other.import_revisions(1, 2, 3)
    other.erase("bob")
    # x1 and x2 became known as the same person only by aliases that came later.
    assert site.erase("bob").identities == 1
    assert site.content() == other.content()


IDENTITIES_WITH_FACTS = """
    SELECT name FROM users WHERE id IN (SELECT identity_id FROM events UNION SELECT identity_id FROM properties
    UNION SELECT identity1_id FROM aliases UNION SELECT identity2_id FROM aliases)
"""
HISTORIES = st.tuples(
    st.lists(LINES, min_size=3, max_size=3),
    st.sampled_from(list(permutations((1, 2, 3)))),
    st.integers(0, 3),
    st.lists(NAME, min_size=1, max_size=2),
    st.booleans(),
)


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(HISTORIES)
def test_the_time_of_the_request_does_not_change_the_content(
    warehouse: Warehouse,
    reference: Warehouse,
    tmp_path_factory: pytest.TempPathFactory,
    history: tuple[list[list[bytes]], tuple[int, ...], int, list[str], bool],
) -> None:
    revisions, order, before, names, placeholder = history
    found = []
    for opened, at in ((warehouse, before), (reference, 3)):
        empty_tables(opened.engine)
        if placeholder:
            with opened.engine.begin() as connection:
                connection.execute(text("INSERT INTO placeholder_identities (name) VALUES ('anna')"))
        site = Site(opened, tmp_path_factory.mktemp("history"), revisions)
        site.import_revisions(*order[:at]) if at else None
        site.erase(*names)
        site.import_revisions(*(order[::-1] if opened is warehouse else order))
        site.erase(*names)
        found.append(site.content())
        assert not set(names) & set(people(opened.engine))
        # The name of a placeholder may be left, from an alias line that was removed. It has no facts.
        used = {str(name) for (name,) in rows(opened.engine, IDENTITIES_WITH_FACTS)}
        found[-1]["people"] = {name: found[-1]["people"][name] for name in used}
    assert found[0] == found[1]


def test_numeric_identities_apart_are_erased_separately(warehouse: Warehouse, tmp_path: Path) -> None:
    aliases = [alias("7", "x", T), alias("x", "12", T + 1), alias("12", "y", T)]
    site = Site(warehouse, tmp_path, [[*aliases, *(event("came", name) for name in ("7", "x", "12", "y"))]])
    site.import_revisions(1, apart=True)
    assert site.erase("12").identities == 2
    before = site.content()
    assert before["people"] == {"7": "7", "x": "7"}
    site.import_revisions(1, apart=True)
    assert site.content() == before


def test_an_erasure_killed_at_any_moment_completes_when_run_again(
    database: str, warehouse: Warehouse, reference: Warehouse, tmp_path: Path
) -> None:
    expected = Site(reference, tmp_path / "plain", REVISIONS)
    empty_tables(reference.engine)
    expected.import_revisions(1, 2, 3)
    counted: list[int] = []
    count_moments(reference.engine, counted.append)
    expected.erase("x2")
    whole = expected.content()
    moments = random.Random(1).sample(range(1, len(counted) + 1), 6)
    for moment in moments:
        empty_tables(warehouse.engine)
        site = Site(warehouse, tmp_path / str(moment), REVISIONS)
        site.import_revisions(1, 2, 3)
        request_erasure(warehouse.engine, [digest("x2")])
        killed_at(database, [Erase(site.lake)], moment)  # type: ignore[list-item]  # a run is what can be called
        assert ledger.unbalanced(warehouse.engine) == []
        Erase(site.lake)(warehouse)
        assert site.content() == whole, moment


@pytest.fixture
def team(database: str) -> Iterator[list[Worker]]:
    """Two processes that use this test's own database."""
    with workers(database, 2) as found:
        yield found


def test_a_concurrent_import_restores_no_erased_person(
    warehouse: Warehouse, reference: Warehouse, team: list[Worker], tmp_path: Path
) -> None:
    expected = Site(reference, tmp_path / "plain", REVISIONS)
    empty_tables(reference.engine)
    expected.import_revisions(1, 2, 3)
    expected.erase("bob")
    for turn in range(3):
        empty_tables(warehouse.engine)
        site = Site(warehouse, tmp_path / str(turn), REVISIONS)
        site.import_revisions(1, 2)
        request_erasure(warehouse.engine, [digest("bob")])
        runs: Any = [[site.importer((3, 2, 1)), site.importer()], [Erase(site.lake)]]
        at_once(team, runs)
        Erase(site.lake)(warehouse)
        assert site.content() == expected.content()


def test_a_person_with_too_many_identities_is_not_erased_without_confirmation(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    site = Site(warehouse, tmp_path, [[alias("a", f"b{number}") for number in range(5)], [event("came", "carl")]])
    site.import_revisions(1, 2)
    request_erasure(warehouse.engine, [digest("a"), digest("carl")])
    with pytest.raises(PermanentError, match="Not erased: 1 people with more than 5 identities"):
        erase_people(warehouse, Lake(site.lake), numeric_apart=False, most_identities=5)
    assert len(people(warehouse.engine)) == 6
    assert erase_people(warehouse, Lake(site.lake), numeric_apart=False, most_identities=None).identities == 6
    assert people(warehouse.engine) == {}


def exchange_ids(engine: Engine, one: str, other: str) -> None:
    """Give two identities each other's id, as a server does that lost commits and hands ids out again."""
    with engine.begin() as connection:
        ids = {str(name): int(number) for name, number in connection.execute(text("SELECT name, id FROM users"))}
        for name, number in ((one, 999), (other, ids[one]), (one, ids[other])):
            connection.execute(text("UPDATE users SET id = :id WHERE name = :name"), {"id": number, "name": name})


def test_an_erasure_removes_nothing_by_ids_that_were_reused_for_another_person(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    engine = warehouse.engine
    site = Site(warehouse, tmp_path, [[event("came", "bob"), event("went", "anna")]])
    site.import_revisions(1)
    request_erasure(engine, [digest("bob")])
    generation = warehouse.generation()
    (bob,) = tables.mark_people(engine, generation, None, FOLDER).people
    exchange_ids(engine, "bob", "anna")
    before = content(engine)
    with pytest.raises(TransientError, match="changed while it was being erased"):
        tables.remove_person(engine, generation, bob)
    assert content(engine) == before


def test_an_erasure_whose_request_the_server_lost_is_recorded_again(warehouse: Warehouse, tmp_path: Path) -> None:
    engine = warehouse.engine
    site = Site(warehouse, tmp_path, [[event("came", "bob"), alias("bob", "b2")]])
    site.import_revisions(1)
    request_erasure(engine, [digest("bob")])
    generation = warehouse.generation()
    (bob,) = tables.mark_people(engine, generation, None, FOLDER).people
    change(engine, "DELETE FROM forgotten_identities")
    tables.remove_person(engine, generation, bob)
    assert warehouse.erased_digests() == {digest("bob"), digest("b2")}


def test_an_identity_erased_during_a_run_is_not_interned(warehouse: Warehouse) -> None:
    request_erasure(warehouse.engine, [digest("bob")])
    with pytest.raises(TransientError, match="An identity was erased"):
        intern_identities(warehouse.engine, ["bob"])
    assert people(warehouse.engine) == {}


def test_an_erased_identity_is_removed_from_ignored_users(warehouse: Warehouse, tmp_path: Path) -> None:
    with warehouse.engine.begin() as connection:
        connection.execute(text("INSERT INTO ignored_users (name) VALUES ('bob'), ('anna')"))
    Site(warehouse, tmp_path, []).erase("bob")
    assert rows(warehouse.engine, "SELECT name FROM ignored_users") == [("anna",)]


def test_an_erased_identity_leaves_the_filters_without_marking_what_was_loaded_with_them(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    change(warehouse.engine, "INSERT INTO ignored_users (name) VALUES ('bob')")
    site = Site(warehouse, tmp_path, REVISIONS)
    site.import_revisions(1, 2, 3)
    change(warehouse.engine, "UPDATE revisions SET filters = REPEAT('x', 32) WHERE revision = 3")
    site.erase("bob")
    assert read_filters_in_force(warehouse.engine, numeric_apart=False).other == [3]
