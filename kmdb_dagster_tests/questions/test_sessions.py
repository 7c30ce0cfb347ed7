"""Sessions equal loops over the events of each person."""

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pytest

from kmdb_dagster.questions.grammar import parse
from kmdb_dagster.questions.people_list import PeopleList
from kmdb_dagster_tests.questions import by_hand
from kmdb_dagster_tests.questions.by_hand import Fact
from kmdb_dagster_tests.questions.conftest import Generated
from kmdb_dagster_tests.questions.generated import DAY, EVENTS, START

SPAN = "--since 2014-01-01 --until 2014-01-03"
END = START + 2 * DAY
HOURS = {"1h": 3600, "6h": 6 * 3600, "2d": 2 * DAY}


def sessions_of(generated: Generated, names: str, gap: int) -> list[list[Fact]]:
    """Return the sessions that begin in the span."""
    facts = [
        fact._replace(person=int(person))
        for person, fact in generated.world.events
        if fact.t < END and (not names or EVENTS[fact.name] in names.split())
    ]
    found: list[list[Fact]] = []
    for events in by_hand.by_person(facts).values():
        mine: list[list[Fact]] = []
        for event in events:
            if not mine or event.t - mine[-1][-1].t > gap:
                mine.append([])
            mine[-1].append(event)
        found += [session for session in mine if session[0].t >= START]
    return found


@pytest.mark.parametrize("gap", HOURS)
@pytest.mark.parametrize("names", ["", "came paid"])
def test_sessions_of_each_day_equal_loops_over_each_person(generated: Generated, names: str, gap: str) -> None:
    frame = parse(f"sessions {names} --gap {gap} --every 1d {SPAN}").ask(generated.warehouse.engine).frame
    days: dict[int, list[list[Fact]]] = defaultdict(list)
    for session in sessions_of(generated, names, HOURS[gap]):
        days[session[0].t // DAY].append(session)
    for day, row in zip((START // DAY, START // DAY + 1), frame.iter_rows(named=True), strict=True):
        mine = days[day]
        people = {session[0].person for session in mine}
        assert (row["sessions"], row["people"]) == (len(mine), len(people))
        if mine:
            lengths = sorted(session[-1].t - session[0].t for session in mine)
            assert row["per_person"] == pytest.approx(len(mine) / len(people))
            assert row["events"] == pytest.approx(mean(map(len, mine)))
            assert row["median"] == lengths[(len(lengths) + 1) // 2 - 1]
            assert row["bounce"] == pytest.approx(sum(len(session) == 1 for session in mine) / len(mine))


def test_a_session_that_began_before_the_span_is_left_out(generated: Generated) -> None:
    with_it = sessions_of(generated, "", 2 * DAY)
    answer = parse(f"sessions --gap 2d {SPAN}").ask(generated.warehouse.engine)
    assert answer.number == len(with_it) < len({session[0].person for session in sessions_of(generated, "", 3600)})


def test_the_list_has_the_sessions_of_each_person_and_day(generated: Generated, tmp_path: Path) -> None:
    question = parse(f"sessions --gap 1h --every 2d {SPAN}")
    question.ask(generated.warehouse.engine, PeopleList(tmp_path / "all.csv"))
    expected: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for session in sessions_of(generated, "", 3600):
        values = expected[str(session[0].person)]
        values[:] = [values[0] + 1, values[1] + len(session), values[2] + session[-1].t - session[0].t]
    with (tmp_path / "all.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    found = {generated.world.identities[row["person"]]: row for row in rows}
    assert len(found) == len(rows)
    assert {person: [int(row[c]) for c in ("sessions", "events", "took")] for person, row in found.items()} == expected


def test_an_empty_span_has_no_sessions_and_a_picture(generated: Generated) -> None:
    answer = parse("sessions --since 2013-01-01 --until 2013-01-05").ask(generated.warehouse.engine)
    assert (answer.finding, answer.number) == ("There are no events in this span.", 0)
    assert answer.picture().startswith(b"\x89PNG")
