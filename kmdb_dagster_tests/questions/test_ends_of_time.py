"""Questions about the first and the last second that a fact can have: 1970-01-01 00:00:01 and 9999-12-31 23:59:59."""

from collections.abc import Iterator
from datetime import date

import pytest

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.answer import Answer
from kmdb_dagster.questions.grammar import parse
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all
from testing.buckets import event
from testing.databases import new_warehouse
from testing.revisions import Revisions

EARLIEST, LATEST = 1, 253402300799
FIRST_DAYS = "--since 1970-01-01 --until 1970-01-03"
LAST_DAYS = "--since 9999-12-30 --until '9999-12-31 23:59:59'"
ALL_TIME = "--since 1970-01-01 --until '9999-12-31 23:59:59'"
TEN_YEARS = "--every 3650d"
QUESTIONS = {
    "trend": "trend {every}",
    "trend by": "trend came --by side {every}",
    "sessions": "sessions {every}",
    "funnel": "funnel came went --within 99999w --by side",
    "retention": "retention came {every}",
    "paths": "paths came went --within 99999w",
    "delay": "delay came went --within 99999w --by side",
    "power": "power came --each 730d {every}",
    "repeats": "repeats came went --within 99999w --by side",
    "experiment": "experiment side went --within 99999w",
    "drivers": "drivers came went --with side --within 99999w",
}


@pytest.fixture(scope="module")
def ends(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A warehouse in which four people come in the first two seconds, and four in the last two."""
    with new_warehouse(server_url) as warehouse:
        days = {"min_date": date(2014, 1, 1), "max_date": date(2014, 1, 10)}
        apply_plans(warehouse.engine, plan_all(warehouse.engine, **days, days=7, today=date(2014, 1, 1)))
        lines = [line for second in (EARLIEST, LATEST - 1) for line in visits(second)]
        Revisions(warehouse, tmp_path_factory.mktemp("lake")).put(1, *lines)
        yield warehouse


def visits(second: int) -> Iterator[bytes]:
    """Four people come, two of each side; one of each side goes a second later."""
    for side in ("left", "right"):
        yield event("came", f"{side} {second}", second, side=side)
        yield event("came", f"other {side} {second}", second, side=side)
        yield event("went", f"{side} {second}", second + 1)


def ask(warehouse: Warehouse, question: str, span: str) -> Answer:
    every = TEN_YEARS if span == ALL_TIME else ""
    return parse(f"{QUESTIONS[question].format(every=every)} {span}").ask(warehouse.engine)


@pytest.mark.parametrize("span", [FIRST_DAYS, LAST_DAYS, ALL_TIME])
@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_has_an_answer_and_a_picture_at_the_ends_of_time(
    ends: Warehouse, question: str, span: str
) -> None:
    assert "(data:image/png;base64,iVBORw0KGgo" in ask(ends, question, span).markdown()


@pytest.mark.parametrize(("span", "ends_in_it"), [(FIRST_DAYS, 1), (LAST_DAYS, 1), (ALL_TIME, 2)])
def test_a_trend_counts_the_first_and_the_last_second(ends: Warehouse, span: str, ends_in_it: int) -> None:
    assert ask(ends, "trend", span).frame["events"].sum() == 6 * ends_in_it
    assert ask(ends, "trend by", span).frame["events"].sum() == 4 * ends_in_it


@pytest.mark.parametrize(("span", "people"), [(FIRST_DAYS, 4), (LAST_DAYS, 4), (ALL_TIME, 8)])
@pytest.mark.parametrize("question", ["funnel", "delay", "experiment"])
def test_people_at_the_ends_of_time_count_and_convert(ends: Warehouse, question: str, span: str, people: int) -> None:
    frame = ask(ends, question, span).frame
    if question == "funnel":
        assert [frame.filter(frame["step"] == step)["people"].sum() for step in (1, 2)] == [people, people // 2]
    else:
        assert (frame["people"].sum(), frame["converted"].sum()) == (people, people // 2)


@pytest.mark.parametrize("when", ["--last 99999w", "--until 1970-01-02 --last 30d", "--since 0001-01-01"])
def test_a_span_before_all_time_starts_at_the_first_second(ends: Warehouse, when: str) -> None:
    found = parse(f"trend came --every 9999d {when}").ask(ends.engine)
    assert found.frame["events"].sum() == 4


def test_a_moment_that_has_no_year_in_utc_is_refused(ends: Warehouse) -> None:
    with pytest.raises(PermanentError, match="is not a date"):
        parse("trend --until 9999-12-31T23:59:59-05:00").ask(ends.engine)


@pytest.mark.parametrize("when", ["--since 0001-01-01 --until '9999-12-31 23:59:59'", f"--every 365d {LAST_DAYS}"])
def test_a_picture_has_room_at_the_ends_of_the_calendar(ends: Warehouse, when: str) -> None:
    every = "" if "every" in when else "--every 365d"
    assert parse(f"trend came {every} {when}").ask(ends.engine).picture().startswith(b"\x89PNG")
