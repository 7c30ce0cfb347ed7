"""Power: on how many days people do something, against loops over each person's events on a real server."""

import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.answer import Answer
from kmdb_dagster.questions.grammar import parse
from kmdb_dagster.questions.power import MAX_TIMES
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster_tests.questions import by_hand
from kmdb_dagster_tests.questions.conftest import Generated
from kmdb_dagster_tests.questions.generated import DAY, EVENTS, START
from testing.buckets import event
from testing.revisions import Revisions

HOUR = 3600


def second(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def times_by_period(answer: Answer) -> dict[str, list[tuple[str, int]]]:
    """Return the rows with people, or below one with people, of each period."""
    found: dict[str, list[tuple[str, int]]] = {}
    for row in answer.frame.filter(answer.frame["at_least"] > 0).iter_rows(named=True):
        found.setdefault(f"{row['time']:%Y-%m-%d %H}", []).append((row["times"], row["people"]))
    return found


@pytest.mark.parametrize(("names", "each", "hours"), [("came", "1d", 24), ("came looked", "1h", 1), ("paid", "6h", 6)])
def test_active_pieces_equal_a_loop_over_all_people(generated: Generated, names: str, each: str, hours: int) -> None:
    line = f"power {names} --each {each} --since 2014-01-01 --until 2014-01-04"
    answer = parse(line).ask(generated.warehouse.engine)
    facts = [
        fact._replace(person=int(person), t=fact.t - START)
        for person, fact in generated.world.events
        if fact.t >= START
    ]
    wanted = [EVENTS.index(name) for name in names.split()]
    times = [len(pieces) for pieces in by_hand.active_pieces(facts, wanted, hours * HOUR, 3 * DAY).values()]
    assert times_by_period(answer) == {"2014-01-01 00": by_hand.histogram(times, 1, MAX_TIMES)}
    row = answer.frame.row(0, named=True)
    assert row["of"] == len(times)
    assert row["average"] == pytest.approx(sum(times) / len(times))
    assert answer.number == row["ratio"] == pytest.approx(sum(times) / len(times) / (72 / hours))


def test_periods_of_a_length_equal_loops_over_each(generated: Generated) -> None:
    line = "power came --each 2h --every 1d --since 2014-01-01 --until 2014-01-03"
    answer = parse(line).ask(generated.warehouse.engine)
    for day in range(2):
        facts = [
            fact._replace(person=int(person), t=fact.t - START - day * DAY)
            for person, fact in generated.world.events
            if fact.t >= START + day * DAY
        ]
        pieces = by_hand.active_pieces(facts, [EVENTS.index("came")], 2 * HOUR, DAY).values()
        expected = by_hand.histogram(map(len, pieces), 1, MAX_TIMES)
        assert times_by_period(answer)[f"2014-01-0{day + 1} 00"] == expected


@pytest.fixture
def months(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    """Ann comes on every day of the first quarter of 2024, twice a day; bob on two days of January and one of March."""
    days = range(second("2024-01-01"), second("2024-04-01"), DAY)
    lines = [event("came", "ann", day + hour * HOUR) for day in days for hour in (1, 23)]
    lines += [event("came", "bob", second(day)) for day in ("2024-01-01", "2024-01-31T23:59:59", "2024-03-05")]
    # The data reaches beyond March.
    Revisions(warehouse, tmp_path).put(1, *lines, event("left", "bob", second("2024-04-01T12:00:00")))
    return warehouse


def test_months_are_those_of_the_calendar_and_every_day_counts_once(months: Warehouse) -> None:
    answer = parse("power came --since 2024-01-01 --until 2024-04-01").ask(months.engine)
    found = times_by_period(answer)
    assert found.keys() == {"2024-01-01 00", "2024-02-01 00", "2024-03-01 00"}
    assert [row for row in found["2024-01-01 00"] if row[1]] == [("2", 1), ("28+", 1)]
    assert [row for row in found["2024-02-01 00"] if row[1]] == [("28+", 1)]
    assert [row for row in found["2024-03-01 00"] if row[1]] == [("1", 1), ("28+", 1)]
    ratios = answer.frame["ratio"].unique(maintain_order=True).to_list()
    assert ratios == pytest.approx([33 / 2 / 31, 1.0, 32 / 2 / 31])
    assert answer.finding == ("51.6 % of 2 people are active on an average day: 16.0 days each, since 2024-03-01.")
    assert answer.caveats == ()


def test_a_month_that_is_not_whole_is_compared_by_its_ratio_and_is_not_the_finding(months: Warehouse) -> None:
    answer = parse("power came --since 2024-01-21 --until 2024-03-22").ask(months.engine)
    assert answer.frame["ratio"].unique(maintain_order=True).to_list() == pytest.approx([12 / 2 / 11, 1.0, 22 / 2 / 21])
    assert answer.finding.startswith(
        "100.0 % of 1 people are active on an average day: 29.0 days each, since 2024-02-01"
    )
    assert answer.caveats == ("A period at an end of the span is not whole: only its ratio compares.",)


@pytest.mark.parametrize(("zone", "seed"), [("Europe/London", 1), ("America/New_York", 2), ("Asia/Kolkata", 3)])
def test_days_and_months_are_those_of_the_time_zone_across_a_change_of_its_clock(
    warehouse: Warehouse, tmp_path: Path, zone: str, seed: int
) -> None:
    # An event each half hour of two months in which the clocks of London and New York change.
    seconds = range(second("2024-03-01"), second("2024-05-01"), HOUR // 2)
    dice = random.Random(seed)
    kept = [(dice.choice(("ann", "bob")), t) for t in seconds if dice.random() < 0.02]
    Revisions(warehouse, tmp_path).put(1, *(event("came", who, t) for who, t in kept), event("end", "ann", seconds[-1]))
    answer = parse(f"power came --every 1mo --since 2024-03-02 --until 2024-04-30 --tz {zone}").ask(warehouse.engine)
    days: dict[int, dict[str, set[int]]] = {}
    for who, t in kept:
        day = datetime.fromtimestamp(t, ZoneInfo(zone))
        if (3, 2) <= (day.month, day.day) < (4, 30):
            days.setdefault(day.month, {}).setdefault(who, set()).add(day.day)
    expected = [by_hand.histogram(map(len, people.values()), 1, MAX_TIMES) for _, people in sorted(days.items())]
    found = times_by_period(answer)
    assert list(found) == ["2024-03-01 00", "2024-04-01 00"]
    assert [[row for row in rows if row[1]] for rows in found.values()] == [
        [row for row in rows if row[1]] for rows in expected
    ]
    averages = answer.frame.unique("time", maintain_order=True)
    pieces = [sum(map(len, people.values())) / len(people) for _, people in sorted(days.items())]
    assert averages["ratio"].to_list() == pytest.approx([pieces[0] / 30, pieces[1] / 29])


def test_a_short_span_is_one_period(months: Warehouse) -> None:
    answer = parse("power came --since 2024-01-20 --until 2024-02-10").ask(months.engine)
    assert [(row["of"], row["average"]) for row in answer.frame.head(1).iter_rows(named=True)] == [(2, 11.0)]
    assert Counter(answer.frame["time"].dt.day().to_list()).keys() == {20}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--every 36h", "--every 36 hours is not a multiple of --each 1 day"),
        ("--each 1s", "--each is too short"),
        ("--every 1h --each 1h", "--every is too short"),
    ],
)
def test_pieces_that_cannot_be_counted_are_refused(months: Warehouse, options: str, said: str) -> None:
    with pytest.raises(PermanentError, match=said):
        parse(f"power came --since 2024-01-01 --until 2024-04-01 {options}").ask(months.engine)
