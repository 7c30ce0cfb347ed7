"""Sums, averages, medians and lifetime values equal loops over the events of each person."""

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean, median

import pytest

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.grammar import MEASURES, parse
from kmdb_dagster.questions.people_list import PeopleList
from kmdb_dagster_tests.questions import by_hand
from kmdb_dagster_tests.questions.by_hand import Fact
from kmdb_dagster_tests.questions.conftest import Generated
from kmdb_dagster_tests.questions.generated import DAY, EVENTS, START

SPAN = "--since 2014-01-01 --until 2014-01-03"
END = START + 2 * DAY
HOUR = 3600


def facts_of(generated: Generated) -> list[Fact]:
    return [fact._replace(person=int(person)) for person, fact in generated.world.events if fact.t >= START]


@pytest.mark.parametrize("segment", ["", "--where-event paid 'amount>5'", "--did-not left"])
@pytest.mark.parametrize("by", [None, "plan"])
def test_a_trend_of_a_value_equals_loops_over_the_events(generated: Generated, by: str | None, segment: str) -> None:
    question = f"trend paid came --value amount --every 1d {SPAN} {segment}" + (f" --by {by}" if by else "")
    frame = parse(question).ask(generated.warehouse.engine).frame
    numbers = generated.world.numbers("amount")
    plans = {v.place: v.value or "(empty)" for v in generated.world.values if v.key == "plan"}
    facts = [one for one in facts_of(generated) if one.t < END]
    left = {one.person for one in facts if EVENTS[one.name] == "left"}
    found: dict[tuple[int, str], list[tuple[int, float | None]]] = defaultdict(list)
    for one in facts:
        name, number = EVENTS[one.name], numbers.get(one.id)
        is_out = (segment.startswith("--did") and one.person in left) or (
            segment.startswith("--where") and name == "paid" and not (number is not None and number > 5)
        )
        if name in {"paid", "came"} and not is_out:
            group = plans.get(one.id, "(none)") if by else name
            found[(one.t - START) // DAY, group].append((one.person, number))
    shown = {(row["time"].day - 1, row["group"]): row for row in frame.iter_rows(named=True) if row["events"]}
    other = {group for _, group in found} - {group for _, group in shown}
    for key in [key for key in found if key[1] in other]:
        found[key[0], "(other)"] += found.pop(key)
    assert shown.keys() == found.keys()
    for key, row in shown.items():
        values = [number for _, number in found[key] if number is not None]
        people = {person for person, _ in found[key]}
        assert row["sum"] == pytest.approx(sum(values))
        assert row["average"] == (pytest.approx(mean(values)) if values else None)
        assert row["median"] == (pytest.approx(median(values)) if values else None)
        assert row["per_person"] == pytest.approx(sum(values) / len(people))


@pytest.mark.parametrize("measure", MEASURES)
def test_each_measure_is_a_picture_and_the_number_of_the_whole_span(generated: Generated, measure: str) -> None:
    answer = parse(f"trend paid --value amount --measure '{measure}' {SPAN}").ask(generated.warehouse.engine)
    numbers = generated.world.numbers("amount")
    paid = [one for one in facts_of(generated) if one.t < END and EVENTS[one.name] == "paid"]
    values = [numbers[one.id] for one in paid if one.id in numbers]
    per_person = sum(values) / len({one.person for one in paid})
    expected = dict(zip(MEASURES, (sum(values), mean(values), median(values), per_person), strict=True))
    assert answer.number == pytest.approx(expected[measure])
    assert f"{len(paid) - len(values)} of {len(paid)} events have no number as “amount”." in answer.caveats
    assert answer.picture().startswith(b"\x89PNG")


def worth(generated: Generated, within: int) -> dict[int, tuple[int, list[tuple[int, float]]]]:
    """Return each person's start, and the numbers after it by their seconds since."""
    numbers = generated.world.numbers("amount")
    found = {}
    for person, events in by_hand.by_person(facts_of(generated)).items():
        at = by_hand.start_of(events, EVENTS.index("came"), END)
        if at is not None:
            born = events[at].t
            later = [(one.t - born, numbers[one.id]) for one in events[at:] if one.id in numbers]
            found[person] = born, [(took, number) for took, number in later if took < within]
    return found


def test_the_lifetime_value_of_cohorts_equals_loops_over_each_person(generated: Generated, tmp_path: Path) -> None:
    file, length = tmp_path / "all.csv", 6 * HOUR
    answer = parse(f"lifetime came amount --within 12h --every 6h {SPAN}").ask(
        generated.warehouse.engine, PeopleList(file)
    )
    people = worth(generated, 2 * length)
    known = max(one.t for one in facts_of(generated)) + 1
    expected = {}
    for cohort in {(born - START) // length for born, _ in people.values()}:
        mine = [one for one in people.values() if (one[0] - START) // length == cohort]
        for period in (1, 2):
            if max(born for born, _ in mine) + period * length <= known:
                paid = [[number for took, number in numbers if took < period * length] for _, numbers in mine]
                expected[cohort, period] = len(mine), sum(map(bool, paid)), pytest.approx(sum(map(sum, paid)))
    found = {
        (((row["cohort"].day - 1) * DAY + row["cohort"].hour * HOUR) // length, row["period"]): (
            row["people"],
            row["paying"],
            row["sum"],
        )
        for row in answer.frame.iter_rows(named=True)
    }
    assert found == expected
    with file.open(newline="") as lines:
        listed = {generated.world.identities[row["person"]]: float(row["sum"]) for row in csv.DictReader(lines)}
    assert listed == {
        str(person): pytest.approx(sum(number for _, number in numbers)) for person, (_, numbers) in people.items()
    }


def test_the_lifetime_value_by_a_property_has_a_row_a_group(generated: Generated) -> None:
    answer = parse(f"lifetime came amount --within 12h --every 12h --by plan {SPAN}").ask(generated.warehouse.engine)
    values = list(generated.world.values_of("plan", START + 10 * DAY))
    firsts = {v.person: v.value or "(empty)" for v in reversed(values)}
    groups: dict[str, list[float]] = defaultdict(list)
    for person, (_, numbers) in worth(generated, 12 * HOUR).items():
        groups[firsts.get(str(person), "(none)")].append(sum(number for _, number in numbers))
    for row in answer.frame.iter_rows(named=True):
        if row["group"] != "(other)":
            mine = groups[row["group"]]
            assert (row["people"], row["per_person"]) == (len(mine), pytest.approx(sum(mine) / len(mine)))
    assert sum(answer.frame["people"]) == sum(map(len, groups.values()))
    assert answer.picture().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--within 12h --every 5h", "is not a multiple of --every"),
        ("--within 400d --every 1h", "--every is too short"),
        ("--within 60s --every 1s", "--every is too short"),
    ],
)
def test_periods_that_do_not_fit_are_refused(generated: Generated, options: str, said: str) -> None:
    with pytest.raises(PermanentError, match=said):
        parse(f"lifetime came amount {SPAN} {options}").ask(generated.warehouse.engine)


def test_a_lifetime_of_nobody_says_so(generated: Generated) -> None:
    answer = parse("lifetime came amount --since 2013-01-01 --until 2013-01-02 --every 1d --within 2d").ask(
        generated.warehouse.engine
    )
    assert answer.finding == "No person did “came” in this span."
    assert answer.picture().startswith(b"\x89PNG")
