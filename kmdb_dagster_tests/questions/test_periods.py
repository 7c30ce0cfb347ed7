"""Periods are the days and months that the clock of a time zone shows, found by loops over every quarter of an hour."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.periods import (
    Length,
    Months,
    count_lengths,
    describe_length,
    divide,
    parse_length,
    whole_periods,
)
from kmdb_dagster.questions.span import Span, epoch_seconds, from_epoch_seconds
from kmdb_dagster.time_zones import time_zone

DAY, QUARTER_HOUR = 86_400, 900
DUCK = duckdb.connect(config={"threads": 1})
ZONES = {
    "Europe/London": datetime(2014, 3, 20, tzinfo=UTC),
    "America/New_York": datetime(2014, 10, 20, tzinfo=UTC),
    "Asia/Kolkata": datetime(2014, 1, 1, tzinfo=UTC),  # half an hour
    "Asia/Kathmandu": datetime(2014, 1, 1, tzinfo=UTC),  # a quarter
    "Australia/Lord_Howe": datetime(2014, 3, 25, tzinfo=UTC),  # its clock is changed by half an hour
    "America/Sao_Paulo": datetime(2014, 10, 10, tzinfo=UTC),  # skips a midnight
    "America/Havana": datetime(2014, 10, 25, tzinfo=UTC),  # shows an hour before a midnight twice
}


def span_of(zone: str, days: int = 20) -> Span:
    """Return whole days of a zone."""
    first = ZONES[zone].replace(tzinfo=ZoneInfo(zone))
    return Span(first.astimezone(UTC), (first + timedelta(days)).astimezone(UTC), None, ZoneInfo(zone))


def dates_begin(span: Span, zone: str) -> list[int]:
    """Return the quarter hours of a span in which a date of the zone appears for the first time."""
    found: dict[object, int] = {}
    for second in range(span.start, span.end, QUARTER_HOUR):
        found.setdefault(datetime.fromtimestamp(second, ZoneInfo(zone)).date(), second)
    return sorted(found.values())


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_is_a_date_of_the_zone(zone: str) -> None:
    span = span_of(zone)
    assert list(divide(span, DAY, 100).edges) == [*dates_begin(span, zone), span.end]


@pytest.mark.parametrize(
    ("zone", "hours"),
    [
        ("Europe/London", {23, 24}),
        ("America/New_York", {24, 25}),
        ("Asia/Kolkata", {24}),
        ("Australia/Lord_Howe", {24, 24.5}),
        ("America/Sao_Paulo", {23, 24}),
    ],
)
def test_the_day_on_which_the_clock_is_changed_is_longer_or_shorter(zone: str, hours: set[float]) -> None:
    edges = divide(span_of(zone), DAY, 100).edges
    assert {(after - before) / 3600 for before, after in pairwise(edges)} == hours


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("text", "months"), [("1mo", 1), ("1q", 3), ("2q", 6), ("1y", 12)])
def test_months_quarters_and_years_are_those_of_the_calendar(zone: str, text: str, months: int) -> None:
    span = span_of(zone, 800)
    dates = [datetime.fromtimestamp(second, ZoneInfo(zone)) for second in dates_begin(span, zone)]
    begins = [int(t.timestamp()) for t in dates if t.day == 1 and (t.month - 1) % months == 0]
    periods = divide(span, parse_length(text), 1000)
    first, last = periods.edges[0], periods.edges[-1]
    assert list(periods.edges)[len(periods.edges) - 1 - len([b for b in begins if b > first]) : -1] == [
        b for b in begins if b > first
    ]
    assert first <= span.start
    assert last >= span.end
    assert datetime.fromtimestamp(first, ZoneInfo(zone)).day == 1
    assert periods.complete_until(span.end) == len(begins) + (first < span.start) - (last > span.end)


@pytest.mark.parametrize("length", [QUARTER_HOUR, 3600, 6 * 3600])
def test_a_period_that_is_shorter_than_a_day_is_a_length_of_time(length: int) -> None:
    span = span_of("Europe/London")
    assert (
        list(divide(span, length, 10_000).edges)
        == list(range(span.start, span.end + length, length))[: -(-(span.end - span.start) // length) + 1]
    )


moments = st.integers(0, 800 * DAY // 600).map(lambda tens: 1_388_000_000 + 600 * tens)
lengths = st.sampled_from([3600, DAY, 7 * DAY, Months(1), Months(3), Months(12)])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["UTC", *ZONES]), lengths, moments, moments)
def test_whole_periods_are_counted_by_the_clock_of_the_zone(zone: str, length: Length, one: int, other: int) -> None:
    start, end = sorted((one, other))
    span = Span(from_epoch_seconds(start - 1), from_epoch_seconds(end + 1), None, time_zone(zone))
    sql = whole_periods(length, span, span.until)(str(start), str(end))
    assert DUCK.sql(f"SELECT {sql}").fetchall() == [(expected_periods(zone, length, start, end),)]


def expected_periods(zone: str, length: Length, start: int, end: int) -> int:
    if length == 3600:
        return (end - start) // 3600
    began, ended = (datetime.fromtimestamp(second, ZoneInfo(zone)).replace(tzinfo=None) for second in (start, end))
    number = 0
    while later(began, length, number + 1) <= ended:
        number += 1
    return number


def later(t: datetime, length: Length, number: int) -> datetime:
    """Return a time moved forward on the calendar, to the end of a month that is too short."""
    if isinstance(length, int):
        return t + timedelta(seconds=length * number)
    year, month = divmod(t.year * 12 + t.month - 1 + length.number * number, 12)
    first = t.replace(year=year, month=month + 1, day=1)
    days = ((first + timedelta(31)).replace(day=1) - first).days
    return first.replace(day=min(t.day, days))


@pytest.mark.parametrize(
    ("text", "length", "words"),
    [
        ("30min", 1800, "30 minutes"),
        ("1d", DAY, "1 day"),
        ("2w", 14 * DAY, "14 days"),
        ("1mo", Months(1), "1 month"),
        ("2q", Months(6), "2 quarters"),
        ("1y", Months(12), "1 year"),
    ],
)
def test_a_length_is_read_and_written(text: str, length: Length, words: str) -> None:
    assert parse_length(text) == length
    assert describe_length(length) == words


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1m", "'1m' could be minutes or months: write 1min or 1mo"),
        ("0mo", "'0mo' is not a length: expected a number and one of s, min, h, d, w, mo, q, y"),
        ("month", "'month' is not a length"),
    ],
)
def test_what_is_not_a_length_or_could_be_two_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_length(text)


def test_a_day_that_a_zone_skips_is_no_period() -> None:
    zone = ZoneInfo("Pacific/Apia")
    days = [datetime(2011, 12, day, tzinfo=zone).astimezone(UTC) for day in (28, 29)]
    last = datetime(2012, 1, 1, tzinfo=zone).astimezone(UTC)
    edges = divide(Span(days[0], last, None, zone), DAY, 100).edges
    assert [after - before for before, after in pairwise(edges)] == [DAY] * 3
    assert edges[:2] == tuple(map(epoch_seconds, days))


def test_a_length_is_divided_only_into_lengths_of_its_kind() -> None:
    assert count_lengths(Months(12), Months(3), 400) == 4
    with pytest.raises(PermanentError, match="--within 90 days is not a multiple of --every 1 month"):
        count_lengths(90 * DAY, Months(1), 400)


def test_a_time_zone_that_does_not_exist_is_refused_with_similar_names() -> None:
    assert time_zone("UTC") is UTC
    with pytest.raises(ValueError, match=r"'Europe/Londn' is not a time zone: .* Did you mean Europe/London"):
        time_zone("Europe/Londn")


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("length", [3650 * DAY, Months(120)])
def test_the_first_and_the_last_moment_have_periods_in_every_zone(zone: str, length: Length) -> None:
    span = Span(from_epoch_seconds(0), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), None, ZoneInfo(zone))
    edges = divide(span, length, 20_000).edges
    assert edges[0] <= 0
    assert edges[-1] >= epoch_seconds(span.until)
    assert list(edges) == sorted(set(edges))
