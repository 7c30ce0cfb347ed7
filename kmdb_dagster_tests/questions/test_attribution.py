"""Each attribution groups people and events by the value that a loop over all values of a person finds."""

from collections import Counter
from collections.abc import Callable

import pytest

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions import slices
from kmdb_dagster.questions.attribution import OF_PEOPLE, Attribution
from kmdb_dagster.questions.grammar import parse
from kmdb_dagster_tests.questions import by_hand
from kmdb_dagster_tests.questions.by_hand import Fact
from kmdb_dagster_tests.questions.conftest import Generated
from kmdb_dagster_tests.questions.generated import DAY, EVENTS, START, Value, World

SPAN = "--since 2014-01-01 --until 2014-01-03"
END = START + 2 * DAY
WITHIN = 12 * 3600
COUNTS: dict[str, Callable[[Value, Fact], bool]] = {
    "ever": lambda _value, _event: True,
    "in-span": lambda value, _event: START <= value.t < END,
    "before": lambda value, event: (value.t, value.place) <= (event.t, event.id),
}


def value_at(world: World, attribution: str, person: str, event: Fact) -> str:
    """Return the group of a person at an event."""
    order, _, where = attribution.partition("-")
    values = sorted((v for v in world.values if v.key == "plan" and v.person == person), key=lambda v: (v.t, v.place))
    counted = [v.value or "(empty)" for v in values if COUNTS[where](v, event)]
    return (counted[0] if order == "first" else counted[-1]) if counted else "(none)"


def facts_of(world: World) -> list[Fact]:
    return [fact._replace(person=int(person)) for person, fact in world.events if fact.t >= START]


def groups_of(world: World, attribution: str) -> dict[str, list[Fact]]:
    """Return the events of the people of each group; a person is attributed at the first start in the span."""
    groups: dict[str, list[Fact]] = {}
    for person, events in by_hand.by_person(facts_of(world)).items():
        at = by_hand.start_of(events, EVENTS.index("came"), END)
        if at is not None:
            groups.setdefault(value_at(world, attribution, str(person), events[at]), []).extend(events)
    return groups


@pytest.mark.parametrize("attribution", OF_PEOPLE)
def test_a_funnel_by_a_property_equals_loops_over_the_values_of_each_person(
    generated: Generated, attribution: str
) -> None:
    question = f"funnel came looked paid --within 12h --by plan --attribution {attribution} {SPAN}"
    frame = parse(question).ask(generated.warehouse.engine).frame
    steps = [EVENTS.index(name) for name in ("came", "looked", "paid")]
    groups = groups_of(generated.world, attribution)
    expected = {group: by_hand.funnel(facts, steps, WITHIN, END) for group, facts in groups.items()}
    assert {group: frame.filter(frame["group"] == group)["people"].to_list() for group in frame["group"]} == expected
    assert len(expected) > 3


@pytest.mark.parametrize("attribution", OF_PEOPLE)
def test_delays_and_lifetime_values_have_the_same_groups(generated: Generated, attribution: str) -> None:
    options = f"--by plan --attribution {attribution} {SPAN}"
    start = EVENTS.index("came")
    expected = {
        group: len(by_hand.delays(facts, start, start, WITHIN, END))
        for group, facts in groups_of(generated.world, attribution).items()
    }
    for question in ("delay came paid --within 12h", "lifetime came amount --within 12h --every 12h"):
        frame = parse(f"{question} {options}").ask(generated.warehouse.engine).frame
        assert dict(frame.select("group", "people").iter_rows()) == expected


@pytest.mark.parametrize("value", ["", "--value amount"])
@pytest.mark.parametrize("attribution", OF_PEOPLE)
def test_a_trend_equals_loops_over_the_values_of_each_events_person(
    generated: Generated, attribution: str, value: str
) -> None:
    question = f"trend paid came --every 2d --by plan --attribution {attribution} {value} {SPAN}"
    frame = parse(question).ask(generated.warehouse.engine).frame
    expected = Counter(
        value_at(generated.world, attribution, person, fact)
        for person, fact in generated.world.events
        if START <= fact.t < END and EVENTS[fact.name] in {"paid", "came"}
    )
    found = dict(frame.select("group", "events").iter_rows())
    other = found.pop("(other)", 0)
    assert found == {group: expected[group] for group in found}
    assert other == sum(many for group, many in expected.items() if group not in found)


@pytest.mark.parametrize("attribution", OF_PEOPLE)
def test_drivers_compare_values_that_were_set_before_the_goal(generated: Generated, attribution: str) -> None:
    question = f"drivers came paid --with plan --within 12h --attribution {attribution} {SPAN}"
    frame = parse(question).ask(generated.warehouse.engine).frame
    order, _, where = attribution.partition("-")
    expected: Counter[str] = Counter()
    for person, events in by_hand.by_person(facts_of(generated.world)).items():
        at = by_hand.start_of(events, EVENTS.index("came"), END)
        if at is None:
            continue
        goals = [one for one in events[at + 1 :] if EVENTS[one.name] == "paid" and one.t <= events[at].t + WITHIN]
        latest = (goals[0].t, goals[0].id) if goals else (events[at].t + WITHIN, 10**9)
        values = [v for v in generated.world.values if v.key == "plan" and v.person == str(person)]
        kept = sorted((v.t, v.place, v.value) for v in values if COUNTS[where](v, events[at]))
        before = [value for t, place, value in kept if (t, place) < latest]
        expected[(before[0 if order == "first" else -1] or "(empty)") if before else "(none)"] += 1
    assert dict(frame.select("value", "people").iter_rows()) == expected


@pytest.mark.parametrize("attribution", ["first-ever", "last-before"])
def test_looking_up_few_people_and_reading_all_give_the_same_groups(
    generated: Generated, monkeypatch: pytest.MonkeyPatch, attribution: str
) -> None:
    question = parse(f"funnel came paid --within 12h --by plan --attribution {attribution} {SPAN}")
    few = question.ask(generated.warehouse.engine)
    monkeypatch.setattr(slices, "MAX_PEOPLE_LOOKED_UP", 1)
    many = question.ask(generated.warehouse.engine)
    assert few.frame.equals(many.frame)
    assert ["SELECT events.user_id" in answer.sql[1] for answer in (few, many)] == [True, False]


@pytest.mark.parametrize(
    ("attribution", "title"),
    [
        ("first-ever", "came within 12 hours, by plan"),
        ("last-ever", "came within 12 hours, by last plan ever"),
        ("first-in-span", "came within 12 hours, by first plan in the span"),
        ("last-before", "came within 12 hours, by last plan before the event"),
    ],
)
def test_the_title_says_which_value_counts(generated: Generated, attribution: str, title: str) -> None:
    question = parse(f"funnel came --within 12h --by plan --attribution {attribution} {SPAN}")
    assert question.ask(generated.warehouse.engine).question == title


def test_people_are_grouped_by_their_first_value_ever_and_events_by_their_own_unless_said_otherwise() -> None:
    assert parse("funnel came --by plan") == parse("funnel came --by plan --attribution first-ever")
    assert parse("trend came --by plan") == parse(f"trend came --by plan --attribution {Attribution.OWN}")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("funnel came --attribution last-ever", "--attribution needs --by PROPERTY"),
        ("trend came --attribution last-ever", "--attribution needs --by PROPERTY"),
        ("funnel came --by plan --attribution own", "'own' is not one of"),
    ],
)
def test_an_attribution_without_effect_is_refused(line: str, said: str) -> None:
    with pytest.raises(PermanentError, match=said):
        parse(line)
