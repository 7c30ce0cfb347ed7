"""Convergence: the same revisions give the same content, whatever the order."""

from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.resolution import rank
from kmdb_dagster.warehouse.identity.user_map import move_facts
from testing.buckets import alias, event, property_set
from testing.databases import empty_tables
from testing.revisions import Revisions, content, misplaced, people

NAMES = ("7", "007", "12", "Bob", "bob", "bob ", "böb", "\U0001f600")
REVISIONS = (1, 2, 3)

Pairs = list[tuple[str, str]]
PAIRS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=5)
EVERYTHING = [line for name in NAMES for line in (event("came", name, plan="pro"), property_set(name, sex="f"))]
EXAMPLES = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


class Step(NamedTuple):
    """A revision is given other alias lines; facts follow at once or some time later."""

    revision: int
    pairs: Pairs
    moved: bool


def reference(lines: Pairs) -> dict[str, str]:
    """Compute the canonical identity of each identity, the slow way."""
    person = {name: {name} for line in lines for name in line}
    for one, other in lines:
        joined = person[one] | person[other]
        for name in joined:
            person[name] = joined
    return {name: min(members, key=rank) for name, members in person.items()}


def alias_lines(pairs: Pairs) -> list[bytes]:
    return [alias(one, other) for one, other in pairs]


@EXAMPLES
@given(st.lists(st.builds(Step, st.sampled_from(REVISIONS), PAIRS, st.booleans()), max_size=7))
def test_the_map_is_a_function_of_the_final_alias_lines(
    database: str, tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    warehouse = opened(database)
    revisions = Revisions(warehouse, tmp_path_factory.mktemp("lake"))
    revisions.load(9, *EVERYTHING)
    final: dict[int, Pairs] = {}
    for step in steps:
        revisions.resolve(step.revision, *alias_lines(step.pairs))
        final[step.revision] = step.pairs
        if step.moved:
            move_facts(warehouse.engine)
    move_facts(warehouse.engine)
    alone = {name: name for name in NAMES}
    assert people(warehouse.engine) == alone | reference([pair for pairs in final.values() for pair in pairs])
    assert misplaced(warehouse.engine) == 0
    warehouse.close()


def opened(database: str) -> Warehouse:
    """The warehouse of the test, emptied; ids of the example before are forgotten."""
    warehouse = Warehouse(database_url(database))
    empty_tables(warehouse.engine)
    return warehouse


FACTS = st.lists(
    st.one_of(
        st.builds(event, st.sampled_from(["came", "went"]), st.sampled_from(NAMES), st.integers(1, 2_000_000_000)),
        st.builds(property_set, st.sampled_from(NAMES), st.integers(1, 2_000_000_000), plan=st.text(max_size=3)),
        st.builds(alias, st.sampled_from(NAMES), st.sampled_from(NAMES)),
        st.sampled_from([b"\n", b"nonsense\n"]),
    ),
    max_size=6,
)


@EXAMPLES
@given(st.lists(FACTS, min_size=3, max_size=3), st.lists(st.sampled_from(REVISIONS), max_size=4))
def test_content_does_not_depend_on_order_or_repetition_of_revisions(
    database: str, tmp_path_factory: pytest.TempPathFactory, lines: list[list[bytes]], again: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("lake")
    found = []
    for order in (REVISIONS, (*again, *reversed(REVISIONS))):
        warehouse = opened(database)
        revisions = Revisions(warehouse, folder)
        for revision in order:
            revisions.put(revision, *lines[revision - 1])
        found.append(content(warehouse.engine))
        warehouse.close()
    assert found[0] == found[1]
