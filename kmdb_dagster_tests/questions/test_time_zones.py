"""Questions about the days and months of a time zone equal loops over the events, across changes of the clock."""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.answer import Answer
from kmdb_dagster.questions.grammar import parse
from kmdb_dagster.questions.people_list import PeopleList
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster_tests.questions import by_hand
from kmdb_dagster_tests.questions.by_hand import Fact
from kmdb_dagster_tests.questions.generated import EVENTS, START, World, world
from testing.databases import new_warehouse
from testing.revisions import Revisions

CAME = EVENTS.index("came")
DAYS = 5


class Site(NamedTuple):
    """A data set of five days; on the fourth the clock of its zone is changed."""

    made: World
    warehouse: Warehouse
    zone: ZoneInfo
    first: date

    @property
    def options(self) -> str:
        """The span as options of a question."""
        return f"--tz {self.zone} --since {self.first} --until {self.first + timedelta(DAYS)}"

    def second(self, day: int) -> int:
        """Return the second at which a day of the span begins; 0 is the first."""
        begins = datetime.combine(self.first + timedelta(day), datetime.min.time(), self.zone)
        return int(begins.timestamp())

    def clock(self, second: int) -> datetime:
        """Return what the clock of the zone shows."""
        return datetime.fromtimestamp(second, self.zone).replace(tzinfo=None)

    @property
    def shift(self) -> int:
        """Seconds by which the times of the data set are moved, because its events begin two days before `START`."""
        return self.second(2) - START

    def facts(self) -> list[Fact]:
        """Return the events as they are in the database."""
        return [fact._replace(person=int(person), t=fact.t + self.shift) for person, fact in self.made.events]


@pytest.fixture(
    scope="module",
    params=[
        (1, "Europe/London", date(2014, 3, 27)),
        (2, "Europe/London", date(2014, 10, 23)),
        (3, "Australia/Lord_Howe", date(2014, 4, 3)),
    ],
    ids=lambda param: f"{param[1]} {param[2]}",
)
def site(request: pytest.FixtureRequest, server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three data sets."""
    seed, zone, first = request.param
    made = world(seed)
    with new_warehouse(server_url) as warehouse:
        found = Site(made, warehouse, ZoneInfo(zone), first)
        lines = [json.loads(line) for line in made.lines]
        moved = [line | {"_t": line["_t"] + found.shift} for line in lines]
        Revisions(warehouse, tmp_path_factory.mktemp("lake")).put(1, *[json.dumps(m).encode() + b"\n" for m in moved])
        yield found


def ask(site: Site, question: str) -> Answer:
    return parse(f"{question} {site.options}").ask(site.warehouse.engine)


@pytest.mark.parametrize("options", ["", "--value amount", "--did looked"])
def test_a_trend_counts_the_days_of_the_zone(site: Site, options: str) -> None:
    frame = ask(site, f"trend came paid --every 1d {options}").frame
    facts = [one for one in site.facts() if one.t < site.second(DAYS)]
    looked = {one.person for one in facts if EVENTS[one.name] == "looked"}
    counted = [
        one for one in facts if EVENTS[one.name] in {"came", "paid"} and ("did" not in options or one.person in looked)
    ]
    expected = Counter((site.clock(one.t).date(), EVENTS[one.name]) for one in counted)
    found = {(row["time"].date(), row["group"]): row["events"] for row in frame.iter_rows(named=True)}
    assert found == expected
    assert {row["time"].hour for row in frame.iter_rows(named=True)} == {0}


def test_a_month_of_which_the_span_has_a_part_is_not_complete(site: Site) -> None:
    answer = ask(site, "trend came --every 1mo")
    expected = Counter(
        site.clock(one.t).date().replace(day=1)
        for one in site.facts()
        if one.name == CAME and one.t < site.second(DAYS)
    )
    assert {row["time"].date(): row["events"] for row in answer.frame.iter_rows(named=True)} == expected
    assert "The first period began before the span: its numbers are not complete." in answer.caveats
    assert answer.picture().startswith(b"\x89PNG")


def days_between(site: Site, born: int, second: int) -> int:
    return max(0, (site.clock(second) - site.clock(born)) // timedelta(1))


def test_retention_has_cohorts_and_periods_of_days_of_the_zone(site: Site) -> None:
    answer = ask(site, "retention came --every 1d")
    sizes: Counter[int] = Counter()
    returned: Counter[tuple[int, int]] = Counter()
    for events in by_hand.by_person(one for one in site.facts() if one.t < site.second(DAYS)).values():
        at = by_hand.start_of(events, CAME, site.second(DAYS))
        if at is not None:
            cohort = (site.clock(events[at].t).date() - site.first).days
            sizes[cohort] += 1
            returned.update({(cohort, days_between(site, events[at].t, one.t)) for one in events[at + 1 :]})
    known = min(site.second(DAYS), max(one.t for one in site.facts()) + 1)
    expected = {
        (cohort, period): (size, returned[cohort, period])
        for cohort, size in sizes.items()
        for period in range(DAYS)
        if site.second(cohort + period + 2) <= known
    }
    found = {
        ((row["cohort"].date() - site.first).days, row["period"]): (row["people"], row["back"])
        for row in answer.frame.iter_rows(named=True)
    }
    assert found == expected
    assert len(found) >= 6


def test_lifetime_values_have_cohorts_and_periods_of_days_of_the_zone(site: Site, tmp_path: Path) -> None:
    question = parse(f"lifetime came amount --every 1d --within 2d {site.options}")
    answer = question.ask(site.warehouse.engine, PeopleList(tmp_path / "all.csv"))
    numbers = site.made.numbers("amount")
    paid: dict[tuple[int, int], float] = defaultdict(float)
    cohorts: dict[int, list[int]] = defaultdict(list)
    for events in by_hand.by_person(site.facts()).values():
        at = by_hand.start_of(events, CAME, site.second(DAYS))
        if at is not None:
            born = events[at].t
            cohort = (site.clock(born).date() - site.first).days
            cohorts[cohort].append(born)
            for one in events[at:]:
                for period in range(days_between(site, born, one.t), 2):
                    paid[cohort, period] += numbers.get(one.id, 0)
    known = max(one.t for one in site.facts()) + 1
    expected = {
        (cohort, period + 1): (len(born), pytest.approx(paid[cohort, period]))
        for cohort, born in cohorts.items()
        for period in range(2)
        if days_between(site, max(born), known) > period
    }
    found = {
        ((row["cohort"].date() - site.first).days, row["period"]): (row["people"], row["sum"])
        for row in answer.frame.iter_rows(named=True)
    }
    assert found == expected
    with (tmp_path / "all.csv").open(newline="") as lines:
        listed = Counter(row["cohort"] for row in csv.DictReader(lines))
    assert listed == {f"{site.first + timedelta(day)} 00:00": len(born) for day, born in cohorts.items()}


def test_a_relative_span_begins_at_a_midnight_of_the_zone(site: Site) -> None:
    span = parse(f"trend --tz {site.zone} --last 1d").ask(site.warehouse.engine).span
    assert site.clock(span.start).time() == datetime.min.time()
    assert str(span).endswith(str(site.zone))


def test_times_in_the_answer_and_its_formats_are_those_of_the_zone(site: Site) -> None:
    answer = ask(site, "trend came --every 1d")
    assert str(answer.span) == f"{site.first} to {site.first + timedelta(DAYS)} {site.zone}"
    assert [row[0] for row in answer.cells()][1] == f"{site.first} 00:00"
    assert answer.picture().startswith(b"\x89PNG")


@pytest.mark.parametrize("question", ["retention came --every 1mo", "lifetime came amount --every 1q --within 1y"])
def test_cohorts_of_months_have_an_answer_and_a_picture(site: Site, question: str) -> None:
    assert ask(site, question).picture().startswith(b"\x89PNG")


def test_the_zone_of_the_site_is_that_of_questions_that_name_none() -> None:
    london = ZoneInfo("Europe/London")
    assert parse("trend --since 2014-06-01", london) == parse("trend --since 2014-06-01 --tz Europe/London")
    assert parse("trend --since 2014-06-01 --tz UTC", london) == parse("trend --since 2014-06-01")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trend --tz London", "'London' is not a time zone"),
        ("trend --every 1m", "write 1min or 1mo"),
        ("lifetime a x --within 90d --every 1mo", "is not a multiple of --every 1 month"),
    ],
)
def test_a_wrong_zone_or_length_is_refused(site: Site, line: str, said: str) -> None:
    with pytest.raises(PermanentError, match=said):
        parse(line).ask(site.warehouse.engine)
