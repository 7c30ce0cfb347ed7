"""Identity resolution: canonical identities and connected components."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmdb_dagster.warehouse.identity.resolution import (
    AliasEdges,
    Rank,
    Ranking,
    canonical_identities,
    canonical_identity,
    components,
    rank,
    ranking,
)

ORDERED = [
    ["0", "1", "7", "10", "101", "bob@example.com"],
    ["0", "000", "007", "07", "7", "08"],
    ["9" * 4999, "1" + "0" * 4999, "2" + "0" * 4999, "a"],
    ["99999999999999999999", "100000000000000000000"],
    # Numeric are ASCII digits only, and nothing beside them.
    ["5", "", " 5", "+5", "-5", "5\n", "5 ", "5.0", "5e1", "Bob", "bob"],
    ["12", "b", "²", "٣", "१", "\uff15"],
    # By code point, as Python compares strings: not by UTF-16 unit, not by a collation.
    ["B", "a", "bob", "bo\u0301b", "böb", "\uffee", "\U0001f600"],
]

EDGES = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=15)


def reference(edges: list[tuple[int, int]]) -> list[list[int]]:
    group = {end: {end} for edge in edges for end in edge}
    for one, other in edges:
        joined = group[one] | group[other]
        for member in joined:
            group[member] = joined
    return sorted(map(list, {tuple(sorted(members)) for members in group.values()}))


@pytest.mark.parametrize("identities", ORDERED, ids=lambda identities: ascii(identities)[:40])
def test_identities_rank_in_this_order(identities: list[str]) -> None:
    assert sorted(set(identities), key=rank) == identities


@given(st.lists(st.text(alphabet="0123456789ab ٣"), max_size=8))
def test_every_identity_has_a_different_rank(identities: list[str]) -> None:
    assert len({rank(identity) for identity in identities}) == len(set(identities))


@given(st.integers(0), st.integers(0))
def test_numbers_of_any_length_are_compared_as_numbers(one: int, other: int) -> None:
    assert (rank(str(one)) < rank(str(other))) == (one < other)


@pytest.mark.parametrize(
    ("edges", "groups"),
    [
        ([], []),
        ([(3, 3)], [[3]]),
        ([(2, 1), (1, 2), (2, 1)], [[1, 2]]),
        ([(1, 2), (2, 3), (3, 4)], [[1, 2, 3, 4]]),
        ([(1, 2), (2, 3), (3, 1)], [[1, 2, 3]]),
        ([(9, 1), (9, 2), (9, 3), (5, 4)], [[1, 2, 3, 9], [4, 5]]),
        ([(4294967295, 1), (7, 7)], [[1, 4294967295], [7]]),
    ],
)
def test_people_are_the_connected_components(edges: list[tuple[int, int]], groups: list[list[int]]) -> None:
    assert sorted(components(edges)) == groups


@given(EDGES)
def test_components_are_those_of_merging_edge_by_edge(edges: list[tuple[int, int]]) -> None:
    assert sorted(components(edges)) == reference(edges)


@given(EDGES.flatmap(lambda edges: st.tuples(st.just(edges), st.permutations(edges))))
def test_components_do_not_depend_on_order_or_direction_of_edges(
    both: tuple[list[tuple[int, int]], list[tuple[int, int]]],
) -> None:
    edges, shuffled = both
    assert sorted(components(edges)) == sorted(components([(other, one) for one, other in shuffled]))


def test_a_chain_of_a_hundred_thousand_is_one_person() -> None:
    (chain,) = components([(number, number + 1) for number in range(100_000)])
    assert chain == list(range(100_001))


def test_the_lowest_ranked_identity_is_canonical() -> None:
    names = {1: "bob@example.com", 2: "0010", 3: "9", 4: "anna"}
    assert canonical_identity(names, {number: rank(name) for number, name in names.items()}) == 3


IDENTITIES = st.lists(st.text(alphabet="0123456789ab ٣é\0\n\U0001f600\uffee"), unique=True, max_size=12)


@given(IDENTITIES)
def test_a_batch_of_identities_has_the_ranks_of_each(identities: list[str]) -> None:
    ranks = ranking(pa.chunked_array([pa.array(identities, pa.large_string())]))
    assert [identities[place] for place in ranks.order] == sorted(identities, key=rank)
    assert ranks.numeric == sum(rank(identity)[0] == 0 for identity in identities)


def test_very_long_identities_have_the_rank_of_each() -> None:
    identities = ["a" * 70_000, "1" + "0" * 70_000, "0" * 70_000 + "1", "a" * 69_999 + "b", "9" * 70_000]
    ranks = ranking(pa.chunked_array([pa.array(identities, pa.large_string())]))
    assert [identities[place] for place in ranks.order] == sorted(identities, key=rank)


Line = tuple[int, str, str]
LINES = st.lists(st.tuples(st.integers(1, 3), *[st.sampled_from(["7", "007", "12", "a", "b", "c", "d"])] * 2))


def found(lines: list[Line], *, apart: bool) -> dict[str, str]:
    """The persons as arrays give them: identity to person."""
    names = sorted({name for _, *both in lines for name in both})
    ends = [(names.index(one), names.index(other), t) for t, one, other in lines if one != other]
    edges = AliasEdges(*np.array(ends, dtype=np.int64).reshape(-1, 3).T)
    ranks = ranking(pa.chunked_array([pa.array(names, pa.large_string())]))
    return {names[node]: names[person] for node, person in enumerate(canonical_identities(edges, ranks, apart=apart))}


def group_of(name: str, lines: list[Line]) -> set[str]:
    """All identities that alias edges connect to one identity, directly or not."""
    group: set[str] = set()
    more = {name}
    while more - group:
        group |= more
        more = {end for _, *both in lines if group & set(both) for end in both}
    return group


def nearest(name: str, lines: list[Line]) -> str:
    """The rule of KMDB_NUMERIC_APART, read aloud."""
    numbers = {end for end in group_of(name, lines) if end.isdecimal()}
    if len(numbers) < 2 or name in numbers:
        return name if name in numbers else min(group_of(name, lines), key=rank)
    person = {number: number for number in numbers}
    while name not in person:
        reached: dict[str, tuple[int, Rank, str]] = {}
        for t, *both in lines:
            for end, neighbour in (both, both[::-1]):
                if end not in person and neighbour in person:
                    choice = (t, rank(person[neighbour]), person[neighbour])
                    reached[end] = min(choice, reached.get(end, choice))
        person |= {end: choice[2] for end, choice in reached.items()}
    return person[name]


@given(LINES)
def test_canonical_identities_of_very_many_components_are_the_lowest(lines: list[Line]) -> None:
    assert found(lines, apart=False) == {
        name: min(group_of(name, lines), key=rank) for _, *both in lines for name in both
    }


@given(LINES)
def test_numeric_identities_apart_divide_the_others_by_distance(lines: list[Line]) -> None:
    assert found(lines, apart=True) == {name: nearest(name, lines) for _, *both in lines for name in both}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # Fewest edges before the earliest.
        ([(9, "1", "x"), (1, "x", "y"), (1, "y", "2")], {"x": "1", "y": "2"}),
        ([(2, "1", "x"), (1, "x", "2")], {"x": "2"}),
        ([(1, "12", "x"), (1, "x", "7")], {"x": "7"}),
        ([(1, "12", "7"), (2, "x", "12")], {"12": "12", "7": "7", "x": "12"}),
        # The edge that counts is the one to the neighbour, not those beyond it.
        ([(9, "1", "p"), (1, "2", "q"), (3, "p", "x"), (4, "q", "x")], {"p": "1", "q": "2", "x": "1"}),
        ([(1, "b", "a")], {"a": "a", "b": "a"}),
    ],
)
def test_the_nearest_numeric_identity_is_defined_by_distance_and_time(
    lines: list[Line], expected: dict[str, str]
) -> None:
    people = found(lines, apart=True)
    assert people | expected == people


@pytest.mark.parametrize("apart", [False, True])
def test_a_chain_of_a_hundred_thousand_between_two_numbers_is_divided_in_the_middle(
    apart: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    count = 100_000
    chain = np.arange(count - 1)
    edges = AliasEdges(chain, chain + 1, np.zeros(count - 1, dtype=np.int64))
    order = np.concatenate([[0, count - 1], np.arange(1, count - 1)])
    people = canonical_identities(edges, Ranking(order, 2), apart=apart)
    assert np.unique(people, return_counts=True)[1].tolist() == ([count // 2] * 2 if apart else [count])
