"""The people behind the numbers: each list equals loops over each person's events, and leaves erased people out."""

import csv
import stat
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kmdb_dagster.digest import digest
from kmdb_dagster.erasure.requests import request_erasure
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions import people_list
from kmdb_dagster.questions.answer import Answer
from kmdb_dagster.questions.grammar import parse
from kmdb_dagster.questions.people_list import PeopleList
from kmdb_dagster.questions.segment import parse_condition
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster_tests.questions import by_hand
from kmdb_dagster_tests.questions.by_hand import Fact
from kmdb_dagster_tests.questions.conftest import Generated
from kmdb_dagster_tests.questions.generated import EVENTS, START
from testing.buckets import T, alias, event
from testing.revisions import Revisions

SPAN = "--since 2014-01-01 --until 2014-01-03"
END = START + 2 * 86_400
WITHIN = 12 * 3600
FIRST = datetime(2014, 1, 1, tzinfo=UTC)


def listed(warehouse: Warehouse, file: Path, question: str, *only: str) -> tuple[Answer, list[dict[str, str]]]:
    """Ask with a list of people, and return the answer and the rows of the list."""
    answer = parse(question).ask(warehouse.engine, PeopleList(file, tuple(map(parse_condition, only))))
    with file.open(encoding="utf-8", newline="") as lines:
        return answer, list(csv.DictReader(lines))


def people_of(generated: Generated) -> dict[int, list[Fact]]:
    """Return the events of each person from the start of the span, in order."""
    facts = [fact._replace(person=int(person)) for person, fact in generated.world.events if fact.t >= START]
    return by_hand.by_person(facts)


def number_of(generated: Generated, canonical: str) -> int:
    return int(generated.world.identities[canonical])


def test_a_funnel_lists_the_last_step_that_each_person_reaches(generated: Generated, tmp_path: Path) -> None:
    _, rows = listed(generated.warehouse, tmp_path / "all.csv", f"funnel came looked paid --within 12h {SPAN}")
    found = {number_of(generated, row["person"]): (row["reached"], row["lost at"]) for row in rows}
    steps = [EVENTS.index(name) for name in ("came", "looked", "paid")]
    reached = {person: by_hand.gets_to(events, steps, WITHIN, END) for person, events in people_of(generated).items()}
    assert found == {person: (str(step), str(step + 1) if step < 3 else "") for person, step in reached.items() if step}


def test_who_was_lost_at_a_step_can_be_chosen_and_be_a_cohort(generated: Generated, tmp_path: Path) -> None:
    question = f"funnel came looked paid --within 1h {SPAN}"
    answer, rows = listed(generated.warehouse, tmp_path / "lost.csv", question, "lost at=3")
    before, after = answer.frame["people"].to_list()[1:]
    assert answer.listed == len(rows) == before - after
    again = parse(f"funnel came looked paid --within 1h {SPAN} --in-cohort {tmp_path}/lost.csv").ask(
        generated.warehouse.engine
    )
    assert again.frame["people"].to_list() == ([len(rows), len(rows), 0] if rows else [])
    assert not [caveat for caveat in again.caveats if "identities of" in caveat]


def test_delays_list_the_seconds_of_each_person(generated: Generated, tmp_path: Path) -> None:
    _, rows = listed(generated.warehouse, tmp_path / "all.csv", f"delay came paid --within 12h {SPAN}")
    facts = [fact for events in people_of(generated).values() for fact in events]
    took = by_hand.delays(facts, EVENTS.index("came"), EVENTS.index("paid"), WITHIN, END)
    found = {number_of(generated, row["person"]): row["took"] for row in rows}
    assert found == {person: "" if one is None else str(one) for person, one in took.items()}


def test_a_cohort_lists_its_people_with_the_periods_in_which_they_came_back(
    generated: Generated, tmp_path: Path
) -> None:
    question = f"retention came paid --every 12h {SPAN}"
    _, rows = listed(generated.warehouse, tmp_path / "all.csv", question)
    found = Counter((number_of(generated, row["person"]), row["cohort"], row["period"]) for row in rows)
    expected: set[tuple[int, str, str]] = set()
    for person, events in people_of(generated).items():
        inside = [one for one in events if one.t < END]
        at = by_hand.start_of(inside, EVENTS.index("came"), END)
        if at is not None:
            born = inside[at].t
            cohort = f"{FIRST + timedelta(seconds=(born - START) // WITHIN * WITHIN):%Y-%m-%d %H:%M}"
            back = {(one.t - born) // WITHIN for one in inside[at + 1 :] if one.name == EVENTS.index("paid")}
            expected |= {(person, cohort, str(period)) for period in back} or {(person, cohort, "")}
    assert found == Counter(expected)
    _, one = listed(generated.warehouse, tmp_path / "one.csv", question, "cohort=2014-01-01", "period is not set")
    assert {row["person"] for row in one} == {
        row["person"] for row in rows if row["cohort"] == "2014-01-01 00:00" and not row["period"]
    }


@pytest.mark.parametrize(
    ("question", "keys", "number"),
    [
        ("trend --every 1d", ("time", "group"), "people"),
        ("trend --every 1d --by plan", ("time", "group"), "people"),
        ("paths came paid --within 12h", ("path",), "people"),
        ("paths came --within 2h --longest 3", ("path",), "people"),
        ("power came looked --each 6h", ("times",), "people"),
        ("power came --each 6h --every 1d", ("time", "times"), "people"),
        ("repeats came looked --within 36h", ("times",), "people"),
        ("repeats came looked --within 36h --by plan", ("group", "times"), "people"),
        ("experiment plan paid --within 12h", ("variant",), "people"),
        ("funnel came paid --by plan --within 12h", ("group",), "people"),
        ("delay came paid --by plan --within 12h", ("group",), "people"),
    ],
)
def test_the_people_of_each_row_are_as_many_as_its_number(
    generated: Generated, tmp_path: Path, question: str, keys: tuple[str, ...], number: str
) -> None:
    answer, rows = listed(generated.warehouse, tmp_path / "all.csv", f"{question} {SPAN}")
    found = Counter(tuple(row[key] for key in keys) for row in rows)
    shown = answer.frame.filter(answer.frame["step"] == 1) if "step" in answer.frame.columns else answer.frame
    for row in shown.iter_rows(named=True):
        key = tuple(f"{row[name]:%Y-%m-%d %H:%M}" if name == "time" else row[name] for name in keys)
        if row[number] is not None:
            assert found[key] == row[number], key


def test_a_person_with_rows_in_two_batches_counts_once(
    generated: Generated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people_list, "ROWS_PER_FETCH", 2)
    answer, rows = listed(generated.warehouse, tmp_path / "all.csv", f"trend --every 1d {SPAN}")
    assert answer.listed == len({row["person"] for row in rows}) < len(rows)


def test_drivers_list_the_values_of_each_person(generated: Generated, tmp_path: Path) -> None:
    question = f"drivers came paid --with plan --with amount --within 12h {SPAN}"
    answer, rows = listed(generated.warehouse, tmp_path / "all.csv", question)
    for row in answer.frame.iter_rows(named=True):
        mine = [one["converted"] for one in rows if one[row["property"]] == row["value"]]
        assert (len(mine), mine.count("yes")) == (row["people"], row["converted"])


def test_a_column_that_is_not_there_is_refused_before_a_query_runs(generated: Generated, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"have no column 'step'\. They have: reached, lost at"):
        listed(generated.warehouse, tmp_path / "all.csv", f"funnel nothing {SPAN}", "step=1")


def test_a_list_is_for_its_owner_only_without_formulas_and_without_people_being_erased(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    file = tmp_path / "all.csv"
    file.write_text("old")
    file.chmod(0o644)
    lines = [event("came", name, T) for name in ("=1+1", "bob", "eve@example.com")]
    Revisions(warehouse, tmp_path).put(1, *lines, alias("bob", "bobby", T))
    request_erasure(warehouse.engine, [digest("bobby")])
    answer, rows = listed(warehouse, file, "funnel came")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(row["person"] for row in rows) == ["'=1+1", "eve@example.com"]
    assert answer.listed == 2
    again = parse(f"funnel came --in-cohort {file}").ask(warehouse.engine)
    assert again.frame["people"].to_list() == [2]
