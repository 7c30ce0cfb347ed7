"""Questions on a real server: they read their slice only, and agree with loops over the rows of the tables."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from sqlalchemy import Engine, text
from statsmodels.stats.proportion import proportion_confint

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions import slices
from kmdb_dagster.questions.answer import Answer
from kmdb_dagster.questions.grammar import parse
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.server import server_of
from kmdb_dagster_tests.questions import by_hand
from kmdb_dagster_tests.questions.by_hand import Fact
from testing.query_plans import tables_of
from testing.revisions import rows

pytestmark = pytest.mark.xdist_group("sampled")  # one database is enough for all of them

SINCE = int(datetime(2014, 1, 1, tzinfo=UTC).timestamp())
FOUR = SINCE + 4 * 3600
DAY = "--since 2014-01-01 --until 2014-01-02"
IN_SPAN = "--attribution first-in-span"
QUESTIONS = {
    "trend": f"trend --every 1h {DAY}",
    "trend by": f'trend "signed up" --by "plan name" --people {DAY}',
    "funnel": f'funnel "visited site" "signed up" activated --within 2h --by "campaign name" {IN_SPAN} {DAY}',
    "retention": f'retention "page view" --every 30min {DAY}',
    "sessions": f"sessions --every 2h {DAY}",
    "paths": f'paths "visited site" "signed up" --within 1h --without "page view" {DAY}',
    "delay": f'delay "visited site" "signed up" --within 1h --by "campaign name" {IN_SPAN} {DAY}',
    "power": f'power "page view" --each 1h {DAY}',
    "repeats": f'repeats "visited site" "page view" --within 2h --by "campaign name" {IN_SPAN} {DAY}',
    "experiment": f'experiment "headline test" "signed up" --within 1h {DAY}',
    "drivers": f'drivers "visited site" "signed up" --with "campaign name" --with "headline test" --within 1h '
    f"{IN_SPAN} {DAY}",
}


@cache
def ask(warehouse: Warehouse, line: str) -> Answer:
    return parse(line).ask(warehouse.engine)


@cache
def ids(engine: Engine) -> dict[str, int]:
    return {name: at for at, name in rows(engine, "SELECT id, string FROM `keys`")}


@cache
def facts(engine: Engine) -> Sequence[Fact]:
    found = rows(engine, "SELECT user_id, t, id, n FROM events WHERE t >= '2014-01-01'")
    return [Fact(person, int(t.replace(tzinfo=UTC).timestamp()), at, name) for person, t, at, name in found]


@cache
def firsts(engine: Engine, name: str) -> dict[int, tuple[int, int, str]]:
    """Return each person's first value of a property, with its second and id."""
    found = f"SELECT user_id, t, id, value FROM properties WHERE `key` = {ids(engine)[name]} AND t >= '2014-01-01'"  # noqa: S608 - ours
    best: dict[int, tuple[int, int, str]] = {}
    for person, t, at, value in rows(engine, found):
        entry = int(t.replace(tzinfo=UTC).timestamp()), at, value
        best[person] = min(best.get(person, entry), entry)
    return best


def second_of(t: datetime) -> int:
    """Seconds since the start of the sample."""
    return int(t.replace(tzinfo=UTC).timestamp()) - SINCE


def test_a_trend_counts_every_event_of_the_span_once(sampled: Warehouse) -> None:
    frame = ask(sampled, "trend --every 1h --since 2014-01-01 --until '2014-01-01 04:00'").frame
    names = {at: name for name, at in ids(sampled.engine).items()}
    expected = Counter(((one.t - SINCE) // 3600, names[one.name]) for one in facts(sampled.engine) if one.t < FOUR)
    assert sum(frame["events"]) == expected.total()
    for row in frame.filter(frame["group"] != "(other)").iter_rows(named=True):
        assert row["events"] == expected[row["time"].hour, row["group"]]


def test_a_trend_by_a_property_counts_people_with_each_value_of_the_event(sampled: Warehouse) -> None:
    frame = ask(sampled, QUESTIONS["trend by"]).frame
    expected = rows(
        sampled.engine,
        "SELECT HOUR(e.t), p.value, COUNT(DISTINCT e.user_id) FROM events e JOIN `keys` k ON k.id = e.n "
        "JOIN properties p ON p.event_id = e.id JOIN `keys` q ON q.id = p.`key` WHERE k.string = 'signed up' "
        "AND q.string = 'plan name' AND DATE(e.t) = '2014-01-01' GROUP BY 1, 2",
    )
    found = {(row["time"].hour, row["group"]): row["people"] for row in frame.iter_rows(named=True) if row["people"]}
    assert found == {(hour, value): people for hour, value, people in expected}


def test_a_funnel_by_a_property_equals_a_loop_over_all_people(sampled: Warehouse) -> None:
    frame = ask(sampled, QUESTIONS["funnel"]).frame
    steps = [ids(sampled.engine)[name] for name in ("visited site", "signed up", "activated")]
    campaigns = firsts(sampled.engine, "campaign name")
    for group in ("skippers newsletter", "spring berths", "(none)"):
        mine = [one for one in facts(sampled.engine) if campaigns.get(one.person, (0, 0, "(none)"))[2] == group]
        expected = by_hand.funnel(mine, steps, 7200, SINCE + 86_400)
        assert frame.filter(frame["group"] == group)["people"].to_list() == expected
        assert all(expected)


def test_retention_equals_a_loop_over_all_people(sampled: Warehouse) -> None:
    frame = ask(sampled, QUESTIONS["retention"]).frame
    known = max(one.t for one in facts(sampled.engine)) + 1
    start = ids(sampled.engine)["page view"]
    shifted = [one._replace(t=one.t - SINCE) for one in facts(sampled.engine)]
    expected = by_hand.cohorts(shifted, start, None, 1800, known - SINCE)
    found = {
        (second_of(row["cohort"]) // 1800, row["period"]): (row["people"], row["back"])
        for row in frame.iter_rows(named=True)
    }
    assert found == expected
    assert len(found) > 10


def test_paths_equal_a_loop_over_all_people(sampled: Warehouse) -> None:
    frame = ask(sampled, f"{QUESTIONS['paths']} --longest 10").frame
    names = {at: name for name, at in ids(sampled.engine).items()}
    start, goal, left_out = (ids(sampled.engine)[name] for name in ("visited site", "signed up", "page view"))
    people = by_hand.by_person(one for one in facts(sampled.engine) if one.name != left_out).values()
    count_paths = [by_hand.path_of(events, start, goal, 3600, SINCE + 86_400) for events in people]
    expected = Counter(" → ".join(names[name] for name in way) for way in count_paths if way)
    assert dict(frame.select("path", "people").iter_rows()) == dict(expected.most_common(12))


@pytest.mark.parametrize("question", ["paths", "retention"])
def test_looking_up_few_people_and_reading_all_give_the_same_answer(
    sampled: Warehouse, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    few = ask(sampled, QUESTIONS[question])
    monkeypatch.setattr(slices, "MAX_PEOPLE_LOOKED_UP", 1)
    many = parse(QUESTIONS[question]).ask(sampled.engine)
    assert few.frame.equals(many.frame)
    assert ["SELECT events.user_id \nFROM" in answer.sql[0] for answer in (few, many)] == [True, False]


def test_delays_equal_a_loop_over_all_people(sampled: Warehouse) -> None:
    frame = ask(sampled, QUESTIONS["delay"]).frame
    start, goal = (ids(sampled.engine)[name] for name in ("visited site", "signed up"))
    campaigns = firsts(sampled.engine, "campaign name")
    found = by_hand.delays(facts(sampled.engine), start, goal, 3600, SINCE + 86_400)
    mine = [took for person, took in found.items() if campaigns.get(person, (0, 0, ""))[2] == "skippers newsletter"]
    there = sorted(took for took in mine if took is not None)
    row = frame.filter(frame["group"] == "skippers newsletter").row(0, named=True)
    assert (row["people"], row["converted"]) == (len(mine), len(there))
    assert row["median"] == there[(len(there) + 1) // 2 - 1]


def test_repeats_by_a_property_equal_a_loop_over_all_people(sampled: Warehouse) -> None:
    frame = ask(sampled, QUESTIONS["repeats"]).frame
    start, repeated = (ids(sampled.engine)[name] for name in ("visited site", "page view"))
    campaigns = firsts(sampled.engine, "campaign name")
    found = by_hand.repeats(facts(sampled.engine), start, repeated, 7200, SINCE + 86_400)
    for group in ("skippers newsletter", "spring berths", "(none)"):
        times = [one for person, one in found.items() if campaigns.get(person, (0, 0, "(none)"))[2] == group]
        rows = frame.filter((frame["group"] == group) & ((frame["people"] > 0) | (frame["at_least"] > 0)))
        assert rows.select("times", "people").rows() == by_hand.histogram(times, 0, 10)
        assert max(times) > 1


def test_the_planted_bills_of_the_sample_come_once_to_those_who_upgrade(sampled: Warehouse) -> None:
    # Planted: 37.5 % of the activated upgrade (half of those on crew, a quarter of those on free), and each is billed.
    frame = ask(sampled, f"repeats activated billed --within 1h {DAY}").frame
    (never, once), people = frame["people"].to_list(), sum(frame["people"])
    assert people > 20
    low, high = proportion_confint(once, people, method="wilson")
    assert low < 0.375 < high
    assert never + once == people


def test_an_experiment_counts_conversions_after_the_first_variant(sampled: Warehouse) -> None:
    frame = ask(sampled, QUESTIONS["experiment"]).frame
    goal = ids(sampled.engine)["signed up"]
    goals = by_hand.by_person(one for one in facts(sampled.engine) if one.name == goal)
    expected: Counter[tuple[str, bool]] = Counter()
    for person, (t, at, variant) in firsts(sampled.engine, "headline test").items():
        reached = any((t, at) < (one.t, one.id) and one.t <= t + 3600 for one in goals.get(person, []))
        expected[variant, reached] += 1
    assert set(frame["variant"]) == {variant for variant, _ in expected}
    for row in frame.iter_rows(named=True):
        assert row["converted"] == expected[row["variant"], True]
        assert row["people"] - row["converted"] == expected[row["variant"], False]


def test_the_newsletter_of_the_sample_drives_sign_ups(sampled: Warehouse) -> None:
    # Planted: 37.5 % of its visitors sign up, 18.75 % of all others: odds of 2.6.
    answer = ask(sampled, QUESTIONS["drivers"])
    (row,) = (row for row in answer.frame.iter_rows(named=True) if row["value"] == "skippers newsletter")
    assert row["odds_low"] < 2.6 < row["odds_high"]
    assert row["p"] < 0.05
    assert answer.finding.startswith("Clearest: campaign name = skippers newsletter")


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_reads_only_the_time_partitions_of_its_span(sampled: Warehouse, question: str) -> None:
    statements = ask(sampled, QUESTIONS[question]).sql
    # A session may have begun up to half an hour before the span.
    day_before: set[str] = {"p20131231"} if question == "sessions" else set()
    assert statements
    for statement in statements:
        for table in read_by(sampled.engine, statement):
            assert set(table["partitions"]) <= {"p20140101", "p20140102"} | day_before


def read_by(engine: Engine, statement: str) -> list[dict[str, Any]]:
    """The tables with partitions that the server would read."""
    with engine.connect() as connection:
        if not server_of(connection).maria:
            connection.exec_driver_sql("SET explain_json_format_version = 1")
        bare = "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
        plan = connection.execute(text(f"EXPLAIN FORMAT=JSON {bare}".replace(":", "\\:"))).scalar_one()
    return [table for table in tables_of(json.loads(plan)) if "partitions" in table]


@pytest.mark.parametrize("question", QUESTIONS)
def test_all_text_of_a_picture_is_inside_it(sampled: Warehouse, question: str) -> None:
    figure = ask(sampled, QUESTIONS[question]).figure()
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]  # matplotlib's
    figure.draw(renderer)
    page = figure.bbox
    texts = [words for words in figure.findobj(Text) if isinstance(words, Text) and words.get_visible()]
    written = [(words.get_text(), words.get_window_extent(renderer)) for words in texts if words.get_text()]
    assert written
    for words, box in written:
        inside = page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        assert inside, words


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_empty_span_has_an_answer_and_a_picture(sampled: Warehouse, question: str) -> None:
    line = QUESTIONS[question].replace(DAY, "--since 2013-12-26 --until 2013-12-27")
    if question in {"experiment", "drivers"}:
        with pytest.raises(PermanentError, match="nothing to compare"):
            ask(sampled, line)
    else:
        assert ask(sampled, line).picture().startswith(b"\x89PNG")


def test_an_answer_shows_itself_in_markdown_with_its_picture(sampled: Warehouse) -> None:
    shown = ask(sampled, QUESTIONS["experiment"]).markdown()
    assert "](data:image/png;base64," in shown
    assert "| variant | people | converted |" in shown
    assert "* Repeated looks until" in shown


def test_an_unknown_name_is_an_error_with_a_similar_one(sampled: Warehouse) -> None:
    with pytest.raises(PermanentError, match=r"No event is called 'signd up'\. Did you mean 'signed up'"):
        ask(sampled, 'funnel "signd up"')


def test_the_default_span_is_the_last_thirty_days_of_data(sampled: Warehouse) -> None:
    span = ask(sampled, 'funnel "visited site"').span
    assert (span.since, span.known_until) == (datetime(2013, 12, 2, tzinfo=UTC), span.until)


def test_an_empty_warehouse_has_no_answers(warehouse: Warehouse) -> None:
    with pytest.raises(PermanentError, match="Nothing is imported yet"):
        ask(warehouse, "trend")
