"""Imports in any order, concurrent, interrupted and killed give the content of one sequential import."""

import random
from collections.abc import Iterator, Sequence
from itertools import cycle, pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.resolution import rank
from testing.buckets import alias, event, property_set
from testing.databases import empty_tables, new_warehouse
from testing.revisions import content, misplaced, people
from testing.workers import Run, Worker, at_once, count_moments, killed_at, parse, workers

pytestmark = pytest.mark.xdist_group("longest")  # groups go first: at the end, one process would wait for these

NAMES = ("7", "007", "12", "Bob", "bob", "bob ", "böb", "anonymous")
PLACEHOLDER = "anonymous"
TIMES = st.integers(1_400_000_000, 1_400_000_003)
IDENTITY = st.sampled_from(NAMES)

Line = tuple[str, ...]


class Alias(NamedTuple):
    """An alias line."""

    t: int
    one: str
    other: str

    def line(self) -> bytes:
        """As KM writes it."""
        return alias(self.one, self.other, self.t)


class Fact(NamedTuple):
    """An event or a property set."""

    t: int
    identity: str
    name: str | None

    def line(self) -> bytes:
        """As KM writes it."""
        if self.name is None:
            return property_set(self.identity, self.t, plan="pro")
        return event(self.name, self.identity, self.t, source="web")


LINES = st.lists(
    st.one_of(
        st.builds(Alias, TIMES, IDENTITY, IDENTITY),
        st.builds(Fact, TIMES, IDENTITY, st.sampled_from(["came", "went", None])),
    ),
    max_size=16,
)


class Way(NamedTuple):
    """A way to import: where lines are cut into revisions, and what each of two processes imports, in which order."""

    lines: list[Alias | Fact]
    cuts: list[int]
    shares: tuple[list[list[int]], list[list[int]]]
    group_sizes: tuple[int, ...]
    """Of each process."""
    unconnected: str | None
    """The table that has a name whose aliases connect nothing."""
    apart: bool

    def revisions(self) -> list[list[bytes]]:
        """The lines of each revision."""
        bounds = [0, *sorted(cut % (len(self.lines) + 1) for cut in self.cuts), len(self.lines)]
        return [[line.line() for line in self.lines[a:b]] for a, b in pairwise(bounds)]


REVISIONS = 4
RANGES = st.lists(st.lists(st.integers(1, REVISIONS), min_size=1, max_size=3, unique=True), min_size=1, max_size=3)
WAYS = st.builds(
    Way,
    LINES,
    st.lists(st.integers(0, 16), min_size=REVISIONS - 1, max_size=REVISIONS - 1),
    st.tuples(RANGES, RANGES),
    st.sampled_from([(1,), (2,), (8,), (1, 2, 8), (8, 1)]),
    st.sampled_from([None, "placeholder_identities", "ignored_users"]),
    st.booleans(),
)


def persons(way: Way) -> dict[str, str]:
    """Compute the canonical identity of each identity, as the rule is written."""
    aliases = [line for line in way.lines if isinstance(line, Alias) and not (way.unconnected and PLACEHOLDER in line)]
    person = {name: name for line in way.lines for name in (line[1:] if isinstance(line, Alias) else line[1:2])}
    for name in person:
        group: set[str] = set()
        more = {name}
        while more - group:
            group |= more
            more = {end for line in aliases if group & {line.one, line.other} for end in (line.one, line.other)}
        numbers = sorted((end for end in group if end.isdecimal()), key=rank)
        apart = way.apart and len(numbers) > 1
        person[name] = nearest(name, aliases, numbers) if apart else min(group, key=rank)
    return person


def nearest(name: str, aliases: Sequence[Alias], numbers: Sequence[str]) -> str:
    """The number that a name goes to where numbers stay apart."""
    reached = {number: number for number in numbers}
    while name not in reached:
        ends = [(line.t, *both) for line in aliases for both in ((line.one, line.other), (line.other, line.one))]
        choices = [(t, rank(reached[at]), end) for t, at, end in ends if at in reached and end not in reached]
        best = {end: number for _, (_, _, _, number), end in sorted(choices, reverse=True)}
        reached |= best
    return reached[name]


@pytest.fixture(scope="module")
def plain(server_url: str) -> Iterator[Warehouse]:
    """Where everything is imported in order, by one process, once."""
    with new_warehouse(server_url) as opened:
        yield opened


@pytest.fixture
def team(database: str) -> Iterator[list[Worker]]:
    """Two processes that import into this test's own database."""
    with workers(database, 2) as found:
        yield found


def prepared(engine: Engine, unconnected: str | None = None) -> None:
    empty_tables(engine)
    if unconnected:
        with engine.begin() as connection:
            connection.execute(text(f"INSERT INTO {unconnected} (name) VALUES (:name)"), {"name": PLACEHOLDER})  # noqa: S608


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(WAYS)
def test_two_concurrent_processes_produce_the_tables_of_a_sequential_import(
    warehouse: Warehouse, plain: Warehouse, team: list[Worker], tmp_path_factory: pytest.TempPathFactory, way: Way
) -> None:
    lake = tmp_path_factory.mktemp("lake")
    for revision, lines in enumerate(way.revisions(), start=1):
        parse(lake, revision, lines)
    for opened in (plain, warehouse):
        prepared(opened.engine, way.unconnected)
    everything = Run(lake, range(1, REVISIONS + 1), way.apart)
    everything(plain)
    asked = {number for share in way.shares for numbers in share for number in numbers}
    left = [number for number in everything.revisions if number not in asked]
    shares = [[Run(lake, numbers, way.apart, way.group_sizes) for numbers in share] for share in way.shares]
    shares[0].append(Run(lake, left, way.apart, way.group_sizes))
    at_once(team, shares)
    assert people(warehouse.engine) == persons(way)
    assert content(warehouse.engine) == content(plain.engine)
    assert misplaced(warehouse.engine) == 0


def chains(revision: int) -> list[bytes]:
    """People who become one from revision to revision, and facts of all of them in each."""
    names = [f"user{number}" for number in range(revision, revision + 8)]
    facts = [line for name in names for line in (event("came", name, plan="pro"), property_set(name, sex="f"))]
    aliases = [alias(f"user{revision + step}", f"user{revision + 2 * step + 1}") for step in range(4)]
    return [*facts, *aliases, alias(f"user{revision}", str(1000 - revision))]


def test_two_processes_that_load_and_merge_the_same_people_lose_nothing_and_fail_no_run(
    warehouse: Warehouse, plain: Warehouse, team: list[Worker], tmp_path: Path
) -> None:
    numbers = list(range(1, 31))
    for revision in numbers:
        parse(tmp_path, revision, chains(revision))
    prepared(plain.engine)
    Run(tmp_path, numbers)(plain)
    shares = [numbers[::2], numbers[1::2][::-1]], [numbers[5:15], numbers[10:20]]
    for share in shares:
        # One after another, so that one merges while the other loads.
        at_once(team, [[Run(tmp_path, [number]) for number in numbers] for numbers in share])
        assert content(warehouse.engine) == content(plain.engine)
        assert misplaced(warehouse.engine) == 0


MOMENTS = 50


def test_an_import_killed_at_any_moment_completes_when_run_again(
    database: str, warehouse: Warehouse, tmp_path: Path
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for revision in (1, 2, 3):
        parse(before, revision, chains(revision))
        # Revision 2 loses its aliases: people are taken apart too.
        parse(after, revision, chains(revision)[:16] if revision == 2 else chains(revision + 2))
    first, second = Run(before, [1, 2, 3]), Run(after, [3, 2, 1])
    prepared(warehouse.engine)
    first(warehouse)
    counted: list[int] = []
    # Opened like the process that is killed: it sends the same statements.
    counting = Warehouse(database_url(database))
    count_moments(counting.engine, counted.append)
    second(counting)
    counting.close()
    expected = content(warehouse.engine)
    moments = random.Random(1).sample(range(1, len(counted) + 1), MOMENTS)
    for moment in moments:
        prepared(warehouse.engine)
        first(warehouse)
        assert killed_at(database, [second], moment)
        second(warehouse)
        assert content(warehouse.engine) == expected, moment
        assert misplaced(warehouse.engine) == 0


def test_killed_at_any_moment_beside_a_run_that_merges_the_same_people_it_loses_nothing(
    database: str, warehouse: Warehouse, plain: Warehouse, team: list[Worker], tmp_path: Path
) -> None:
    numbers = list(range(1, 13))
    for revision in numbers:
        parse(tmp_path, revision, chains(revision))
    prepared(plain.engine)
    everything = Run(tmp_path, numbers)
    everything(plain)
    expected = content(plain.engine)
    for moment, sizes in zip(random.Random(2).sample(range(20, 300), 12), cycle([(1,), (2,), (8,), (1, 2, 8)])):
        prepared(warehouse.engine)
        team[0].start([Run(tmp_path, numbers[::2], group_sizes=sizes[::-1])])
        killed_at(database, [Run(tmp_path, numbers[1::2], group_sizes=sizes)], moment)
        team[0].finish()
        Run(tmp_path, numbers[1::2], group_sizes=sizes)(warehouse)
        assert content(warehouse.engine) == expected, (moment, sizes)
        assert misplaced(warehouse.engine) == 0
