"""Which identity stands for a person, and who belongs together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmdb_dagster.export.people import components, rank, stands_for

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

TIES = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=15)


def reference(ties: list[tuple[int, int]]) -> list[list[int]]:
    group = {end: {end} for tie in ties for end in tie}
    for one, other in ties:
        joined = group[one] | group[other]
        for member in joined:
            group[member] = joined
    return sorted(map(list, {tuple(sorted(members)) for members in group.values()}))


@pytest.mark.parametrize("identities", ORDERED, ids=lambda identities: ascii(identities)[:40])
def test_identities_rank_in_this_order(identities: list[str]) -> None:
    assert sorted(set(identities), key=rank) == identities


@given(st.lists(st.text(alphabet="0123456789ab ٣"), max_size=8))
def test_no_two_identities_rank_the_same(identities: list[str]) -> None:
    assert len({rank(identity) for identity in identities}) == len(set(identities))


@given(st.integers(0), st.integers(0))
def test_numbers_of_any_length_are_compared_as_numbers(one: int, other: int) -> None:
    assert (rank(str(one)) < rank(str(other))) == (one < other)


@pytest.mark.parametrize(
    ("ties", "groups"),
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
def test_people_are_the_connected_components(ties: list[tuple[int, int]], groups: list[list[int]]) -> None:
    assert sorted(components(ties)) == groups


@given(TIES)
def test_components_are_those_of_joining_one_tie_after_another(ties: list[tuple[int, int]]) -> None:
    assert sorted(components(ties)) == reference(ties)


@given(TIES.flatmap(lambda ties: st.tuples(st.just(ties), st.permutations(ties))))
def test_neither_order_nor_direction_of_ties_matters(both: tuple[list[tuple[int, int]], list[tuple[int, int]]]) -> None:
    ties, shuffled = both
    assert sorted(components(ties)) == sorted(components([(other, one) for one, other in shuffled]))


def test_a_chain_of_a_hundred_thousand_is_one_person() -> None:
    (chain,) = components([(number, number + 1) for number in range(100_000)])
    assert chain == list(range(100_001))


def test_the_lowest_ranked_member_stands_for_the_person() -> None:
    names = {1: "bob@example.com", 2: "0010", 3: "9", 4: "anna"}
    assert stands_for(names, {number: rank(name) for number, name in names.items()}) == 3
