"""Segments: each question counts exactly the people and the events that loops over the lines find."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.answer import Answer
from kmdb_dagster.questions.grammar import parse
from kmdb_dagster.questions.segment import Condition, parse_condition
from kmdb_dagster_tests.questions import by_hand
from kmdb_dagster_tests.questions.by_hand import Fact
from kmdb_dagster_tests.questions.conftest import Generated
from kmdb_dagster_tests.questions.generated import DAY, EVENTS, START, World, number

SPAN = "--since 2014-01-01 --until 2014-01-03"
END = START + 2 * DAY
WITHIN = 12 * 3600
HOLDS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda value, wanted: value == wanted,
    "!=": lambda value, wanted: value != wanted,
    "contains": lambda value, wanted: wanted in value,
    ">": lambda value, wanted: number(value) > float(wanted),
    "<": lambda value, wanted: number(value) < float(wanted),
    ">=": lambda value, wanted: number(value) >= float(wanted),
    "<=": lambda value, wanted: number(value) <= float(wanted),
    "is set": lambda _value, _wanted: True,
    "is not set": lambda _value, _wanted: False,
}
CONDITIONS = [
    "plan=crew",
    "plan!=crew",
    "plan contains crew",
    "plan=",
    "amount>5",
    "amount<10.5",
    "amount>=10.5",
    "amount<=-3",
    "amount is set",
    "amount is not set",
]
SEGMENTS = {
    **{condition: f'--where "{condition}"' for condition in CONDITIONS},
    "did": "--did paid",
    "did not": "--did-not paid",
    "all at once": '--where "plan!=free" --where "amount is set" --did looked --did-not paid --in-cohort {cohort}',
    "cohort": "--in-cohort {cohort}",
    "event": '--where-event paid "amount>5"',
    "event is not": '--where-event came "plan!=crew"',
    "event and did": '--where-event paid "amount is set" --did paid --where-event looked "plan is not set"',
}


def facts_of(made: World, line: str) -> list[Fact]:
    """Return the events that a segment admits, with their people, from before the span too."""
    options = re.findall(r'--([\w-]+) (?:(\w+) (?="))?(?:"([^"]*)"|(\S+))', line)
    conditions = [(event, parse_condition(text)) for kind, event, text, _ in options if kind == "where-event"]
    events = [(person, fact) for person, fact in made.events if all(counts(made, fact, *one) for one in conditions)]
    people = {person for person, _ in events}
    for kind, _, text, word in options:
        if kind == "where":
            people &= who_has(made, parse_condition(text), people)
        if kind in {"did", "did-not"}:
            did = {p for p, fact in events if EVENTS[fact.name] == word and START <= fact.t < END}
            people = people & did if kind == "did" else people - did
        if kind == "in-cohort":
            people &= {person for person in people if int(person) % 3}
    return [fact._replace(person=int(person)) for person, fact in events if person in people]


def counts(made: World, fact: Fact, event: str, condition: Condition) -> bool:
    """Whether an event has its value, if it is of this name."""
    if EVENTS[fact.name] != event:
        return True
    own = [v.value for v in made.values if v.place == fact.id and v.key == condition.name]
    return HOLDS[condition.operator](own[0], condition.value) if own else condition.is_negated


def who_has(made: World, condition: Condition, people: set[str]) -> set[str]:
    """Who has such a value last, before the end of the span."""
    latest = {v.person: v.value for v in made.values_of(condition.name, END)}
    holds = HOLDS[condition.operator]
    return {
        person
        for person in people
        if (holds(latest[person], condition.value) if person in latest else condition.is_negated)
    }


def ask(generated: Generated, question: str, segment: str) -> Answer:
    line = f"{question} {SPAN} {SEGMENTS[segment].format(cohort=generated.cohort)}"
    return parse(line).ask(generated.warehouse.engine)


@pytest.fixture
def admitted(generated: Generated, segment: str) -> list[Fact]:
    """What the segment admits of the span and the time after it."""
    found = facts_of(generated.world, SEGMENTS[segment].format(cohort="file"))
    return [fact for fact in found if fact.t >= START]


@pytest.mark.parametrize("segment", SEGMENTS)
def test_a_funnel_and_a_delay_of_a_segment_equal_loops_over_its_people(
    generated: Generated, segment: str, admitted: list[Fact]
) -> None:
    steps = [EVENTS.index(name) for name in ("came", "looked", "paid")]
    expected = by_hand.funnel(admitted, steps, WITHIN, END)
    funnel = ask(generated, "funnel came looked paid --within 12h", segment).frame
    assert funnel["people"].to_list() == (expected if expected[0] else [])
    took = by_hand.delays(admitted, steps[0], steps[2], WITHIN, END)
    delay = ask(generated, "delay came paid --within 12h", segment).frame
    assert (sum(delay["people"]), sum(delay["converted"])) == (len(took), sum(one is not None for one in took.values()))


@pytest.mark.parametrize("segment", SEGMENTS)
def test_repeats_of_a_segment_equal_loops_over_its_people(
    generated: Generated, segment: str, admitted: list[Fact]
) -> None:
    answer = ask(generated, "repeats came looked --within 36h", segment)
    times = by_hand.repeats(admitted, EVENTS.index("came"), EVENTS.index("looked"), 3 * WITHIN, END).values()
    assert answer.frame.select("times", "people").rows() == by_hand.histogram(times, 0, 10)
    assert answer.number == (pytest.approx(sum(times) / len(times)) if times else None)


@pytest.mark.parametrize("segment", SEGMENTS)
@pytest.mark.parametrize("question", ["trend", "trend --by plan"])
def test_a_trend_of_a_segment_equals_loops_over_its_people(
    generated: Generated, segment: str, question: str, admitted: list[Fact]
) -> None:
    frame = ask(generated, f"{question} --every 1d", segment).frame
    plans = {v.place: v.value or "(empty)" for v in generated.world.values if v.key == "plan"}
    by_group: dict[tuple[int, str], list[int]] = {}
    for fact in admitted:
        if fact.t < END:
            group = EVENTS[fact.name] if question == "trend" else plans.get(fact.id, "(none)")
            by_group.setdefault(((fact.t - START) // DAY, group), []).append(fact.person)
    found = {
        (row["time"].day - 1, row["group"]): (row["events"], row["people"])
        for row in frame.iter_rows(named=True)
        if row["events"] and row["people"] is not None
    }
    expected = {place: (len(people), len(set(people))) for place, people in by_group.items()}
    assert {place: expected[place] for place in found} == found
    assert sum(frame["events"]) == sum(len(people) for people in by_group.values())


@pytest.mark.parametrize("segment", ["did", "plan!=crew", "all at once", "event is not"])
def test_retention_and_paths_of_a_segment_equal_loops_over_its_people(
    generated: Generated, segment: str, admitted: list[Fact]
) -> None:
    frame = ask(generated, "paths came paid --within 12h --longest 10", segment).frame
    ways = [by_hand.path_of(events, 0, 2, WITHIN, END) for events in by_hand.by_person(admitted).values()]
    reached = [way for way in ways if way]
    assert max(frame["people"], default=0) == max(map(reached.count, reached), default=0)
    shifted = [fact._replace(t=fact.t - START) for fact in admitted if fact.t < END]
    retention = ask(generated, "retention came --every 12h", segment).frame
    expected = by_hand.cohorts(shifted, 0, None, WITHIN, END - START)
    assert sorted((row["people"], row["back"]) for row in retention.iter_rows(named=True)) == sorted(expected.values())


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("plan name=crew", Condition("plan name", "=", "crew")),
        (" plan name != crew ", Condition("plan name", "!=", "crew")),
        ("a=b=c", Condition("a", "=", "b=c")),
        ('"a=b"=c', Condition("a=b", "=", "c")),
        ('city=" Rye "', Condition("city", "=", " Rye ")),
        ("gender=", Condition("gender", "=", "")),
        ("url contains a=b", Condition("url", "contains", "a=b")),
        ("nights >= 2.5", Condition("nights", ">=", "2.5")),
        ("email is set", Condition("email", "is set")),
        ("email is not set", Condition("email", "is not set")),
        ("this is set=yes", Condition("this is set", "=", "yes")),
    ],
)
def test_a_condition_has_a_property_an_operator_and_a_value(text: str, condition: Condition) -> None:
    assert parse_condition(text) == condition


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--where crew", "'crew' is not a condition"),
        ("--where 'plan>x'", "'x' is not a number"),
        ("--where 'plan>1e999'", "'1e999' is not a number"),
        ("--where 'plan contains '", "'contains' needs a text"),
        ("--where-event came", "requires 2 arguments"),
    ],
)
def test_a_condition_that_is_none_is_refused_with_an_example(option: str, said: str) -> None:
    with pytest.raises(PermanentError, match=re.escape(said)):
        parse(f"funnel came {option}")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--where 'came=1'", "'came' is the name of an event, not of a property"),
        ("--did plan", "'plan' is the name of a property, not of an event"),
        ("--in-cohort missing.txt", "The cohort missing.txt cannot be read"),
    ],
)
def test_a_segment_of_a_name_or_a_file_that_is_not_there_is_refused(
    generated: Generated, option: str, said: str
) -> None:
    with pytest.raises(PermanentError, match=said):
        parse(f"trend {option} {SPAN}").ask(generated.warehouse.engine)


def test_an_answer_names_its_segment_and_the_identities_that_were_not_found(
    generated: Generated, tmp_path: Path
) -> None:
    (tmp_path / "crew.txt").write_text("1 0\nnobody\n")
    line = f"funnel came --where plan=crew --did-not left --where-event came 'amount>5' --in-cohort {tmp_path}/crew.txt"
    answer = parse(f"{line} {SPAN}").ask(generated.warehouse.engine)
    assert answer.question == (
        "came within 7 days: people with plan = crew, who did not “left”, in crew.txt; “came” only with amount > 5"
    )
    assert "1 of 2 identities of crew.txt are not in the database." in answer.caveats
