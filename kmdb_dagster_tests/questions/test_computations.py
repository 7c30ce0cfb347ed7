"""Computations on a slice agree with loops over each person's events, for generated events."""

from collections import Counter
from datetime import UTC

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from kmdb_dagster.charts.palette import OTHER
from kmdb_dagster.questions.conversions import Conversion
from kmdb_dagster.questions.delay import conversion_curve, measure_delays, summarize_delays
from kmdb_dagster.questions.funnel import add_shares, count_steps
from kmdb_dagster.questions.groups import band_numbers, fold_rare_values
from kmdb_dagster.questions.histogram import count_times
from kmdb_dagster.questions.paths import count_paths
from kmdb_dagster.questions.periods import divide
from kmdb_dagster.questions.repeats import find_repeats
from kmdb_dagster.questions.retention import count_returns
from kmdb_dagster.questions.span import EPOCH, Span, from_epoch_seconds
from kmdb_dagster.questions.trend import count_over_time
from kmdb_dagster_tests.questions import by_hand
from kmdb_dagster_tests.questions.by_hand import Fact
from kmdb_dagster_tests.questions.tables import DUCK, NAMES, put, some_facts, tables

EXAMPLES = settings(max_examples=25)
name = st.sampled_from(NAMES)
seconds = st.integers(0, 6)


def in_step(frame: pl.DataFrame) -> list[int]:
    return frame.sort(pl.col("step").cast(pl.Int64))["people"].to_list()


@EXAMPLES
@given(some_facts(), st.lists(name, min_size=1, max_size=4), seconds, st.integers(0, 9))
def test_a_funnel_counts_people_with_a_chain_of_all_steps_in_time(
    facts: list[Fact], steps: list[int], within: int, end: int
) -> None:
    found = in_step(count_steps(tables(facts), steps, within, end))
    expected = by_hand.funnel(facts, steps, within, end)
    assert found == (expected if expected[0] else [])


def test_a_second_visit_may_begin_the_chain_that_is_in_time() -> None:
    facts = [Fact(1, 0, 1, 1), Fact(1, 100, 2, 1), Fact(1, 105, 3, 2)]
    assert in_step(count_steps(tables(facts), [1, 2], 10, 200)) == [1, 1]


def test_the_last_second_that_there_is_still_counts() -> None:
    facts = [Fact(1, 10, 1, 1), Fact(1, 20, 2, 2)]
    assert in_step(count_steps(tables(facts), [1, 2], 10, 11)) == [1, 1]
    assert in_step(count_steps(tables(facts), [1, 2], 9, 11)) == [1, 0]
    assert in_step(count_steps(tables(facts), [1, 2], 10, 10)) == []


def test_events_of_one_second_are_ordered_by_arrival() -> None:
    forward, backward = [Fact(1, 5, 1, 1), Fact(1, 5, 2, 2)], [Fact(1, 5, 1, 2), Fact(1, 5, 2, 1)]
    assert in_step(count_steps(tables(forward), [1, 2], 10, 20)) == [1, 1]
    assert in_step(count_steps(tables(backward), [1, 2], 10, 20)) == [1, 0]


def test_groups_of_a_funnel_add_up_and_shares_are_of_the_group() -> None:
    facts = [Fact(person, 0, person, 1) for person in range(1, 5)] + [Fact(1, 1, 9, 2), Fact(4, 1, 10, 2)]
    labels = [(1, 0, 1, "a"), (2, 0, 2, "a"), (3, 0, 3, "b")]
    frame = add_shares(count_steps(tables(facts, labels), [1, 2], 10, 20), ["come", "go"])
    assert frame.rows() == [
        ("a", 1, "come", 2, 1.0, None),
        ("a", 2, "go", 1, 0.5, 0.5),
        ("(none)", 1, "come", 1, 1.0, None),
        ("(none)", 2, "go", 1, 1.0, 1.0),
        ("b", 1, "come", 1, 1.0, None),
        ("b", 2, "go", 0, 0.0, 0.0),
    ]


@EXAMPLES
@given(some_facts(), name, name, seconds, st.integers(0, 9))
def test_a_delay_is_from_the_first_start_to_the_first_goal_after_it(
    facts: list[Fact], start: int, goal: int, within: int, end: int
) -> None:
    duck = tables(facts)
    measure_delays(duck, Conversion(start, goal, within, end))
    found = dict(duck.sql("SELECT person, took FROM delays").fetchall())
    assert found == by_hand.delays(facts, start, goal, within, end)


@EXAMPLES
@given(some_facts(), name, name, seconds, st.integers(0, 9))
def test_repeats_are_the_events_in_time_after_the_first_start(
    facts: list[Fact], start: int, repeated: int, within: int, end: int
) -> None:
    duck = tables(facts)
    find_repeats(duck, Conversion(start, repeated, within, end))
    found = dict(duck.sql("SELECT person, times FROM done").fetchall())
    expected = by_hand.repeats(facts, start, repeated, within, end)
    assert found == expected
    rows = count_times(duck, 0, 2).select("times", "people").rows()
    assert rows == by_hand.histogram(expected.values(), 0, 2)


def test_a_histogram_has_every_number_of_times_of_each_group_and_shares_of_the_group() -> None:
    duck = tables([])
    people = [(1, "a", 0), (2, "a", 2), (3, "a", 2), (4, "a", 9), (5, "b", 1)]
    put("done", pl.DataFrame(people, {"person": pl.Int64, "group": pl.String, "times": pl.Int64}, orient="row"))
    assert count_times(duck, 0, 3).rows() == [
        ("a", 4, 3.25, "0", 1, 0.25, 1.0),
        ("a", 4, 3.25, "1", 0, 0.0, 0.75),
        ("a", 4, 3.25, "2", 2, 0.5, 0.75),
        ("a", 4, 3.25, "3+", 1, 0.25, 0.25),
        ("b", 1, 1.0, "0", 0, 0.0, 1.0),
        ("b", 1, 1.0, "1", 1, 1.0, 1.0),
        ("b", 1, 1.0, "2", 0, 0.0, 0.0),
        ("b", 1, 1.0, "3+", 0, 0.0, 0.0),
    ]


def test_quartiles_and_curve_of_delays_are_those_of_converted_people() -> None:
    facts = [Fact(person, 0, person, 1) for person in range(1, 11)]
    facts += [Fact(person, 10 * person, 100 + person, 2) for person in range(1, 9)]
    duck = tables(facts)
    measure_delays(duck, Conversion(1, 2, 1000, 5))
    assert summarize_delays(duck).rows() == [("(none)", 10, 8, 0.8, 20, 40, 60, 80)]
    curve = conversion_curve(duck)
    assert curve["seconds"].to_list() == [10, 20, 30, 40, 50, 60, 70, 80]
    assert curve["share"].to_list() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]


@EXAMPLES
@given(some_facts(), name, st.none() | name, st.integers(1, 5), st.integers(1, 9))
def test_retention_counts_returning_people_in_each_complete_period(
    facts: list[Fact], start: int, back: int | None, every: int, end: int
) -> None:
    inside = [fact for fact in facts if fact.t < end]
    duck, periods = tables(inside), divide(Span(EPOCH, from_epoch_seconds(end)), every, 1000)
    periods.put(duck)
    frame = count_returns(duck, start, back, periods)
    found = {
        (int(row["cohort"].replace(tzinfo=UTC).timestamp()) // every, row["period"]): (row["people"], row["back"])
        for row in frame.iter_rows(named=True)
    }
    assert found == by_hand.cohorts(inside, start, back, every, end)


@EXAMPLES
@given(some_facts(), name, st.none() | name, seconds, st.integers(0, 9))
def test_paths_are_sequences_of_events_of_a_person(
    facts: list[Fact], start: int, goal: int | None, within: int, end: int
) -> None:
    if goal == start:
        goal = None
    frame = count_paths(tables(facts), Conversion(start, goal, within, end), 20)
    paths = [by_hand.path_of(events, start, goal, within, end) for events in by_hand.by_person(facts).values()]
    expected = Counter(tuple(path) for path in paths if path is not None)
    assert {tuple(row["path"]): row["people"] for row in frame.iter_rows(named=True)} == expected


def test_a_long_path_keeps_its_beginning_and_its_goal() -> None:
    facts = [Fact(1, t, t, 1 + t % 2) for t in range(8)] + [Fact(1, 9, 9, 3)]
    assert count_paths(tables(facts), Conversion(1, 3, 100, 50), 4)["path"].to_list() == [[1, 2, 1, None, 3]]


@EXAMPLES
@given(st.dictionaries(st.tuples(st.integers(0, 4), st.sampled_from("abcdefghi")), st.integers(1, 9)))
def test_a_trend_has_every_period_of_every_group_and_loses_no_event(counts: dict[tuple[int, str], int]) -> None:
    tables([])
    rows = [(*key, many, 1) for key, many in counts.items()]
    put(
        "counts",
        pl.DataFrame(
            rows, {"period": pl.Int64, "label": pl.String, "events": pl.Int64, "people": pl.Int64}, orient="row"
        ),
    )
    divide(Span(from_epoch_seconds(100), from_epoch_seconds(100 + 5 * 60)), 60, 5).put(DUCK)
    frame = count_over_time(DUCK)
    groups = {label for _, label in counts}
    assert len(frame) == 5 * min(len(groups), 7)
    assert sum(frame["events"]) == sum(counts.values())
    for row in frame.filter(frame["group"] != OTHER).iter_rows(named=True):
        period = (int(row["time"].replace(tzinfo=UTC).timestamp()) - 100) // 60
        assert row["events"] == counts.get((period, row["group"]), 0)


def test_rare_values_become_one_group() -> None:
    labels = [(at, 0, at, label) for at, label in enumerate("aaabbbccd", 1)]
    duck = tables([], labels)
    fold_rare_values(duck, max_groups=2)
    assert Counter(row[0] for row in duck.sql("SELECT label FROM labels").fetchall()) == {"a": 3, "b": 3, OTHER: 3}


def test_numbers_become_four_bands_and_text_stays() -> None:
    duck = tables([], [(at, 0, at, str(at / 2)) for at in range(1, 41)])
    band_numbers(duck)
    sizes = Counter(row[0] for row in duck.sql("SELECT label FROM labels").fetchall())
    assert sizes == {"0.5 to 5.0": 10, "5.5 to 10.0": 10, "10.5 to 15.0": 10, "15.5 to 20.0": 10}
    words = tables([], [(at, 0, at, f"v{at}") for at in range(1, 41)])
    band_numbers(words)
    assert words.sql("SELECT count(DISTINCT label) FROM labels").fetchall() == [(40,)]
