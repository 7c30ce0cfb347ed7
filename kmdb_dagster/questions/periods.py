"""Periods: a span divided into lengths of time, or into the days, months, quarters and years of a time zone's calendar.

A period that is shorter than a day, or not a whole number of days, is a length of time. Days and weeks begin at the
wall-clock time at which the span begins, so a day has 23 or 25 hours when the clock is changed. Months, quarters and
years are those of the calendar; the first one may have begun before the span.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count, pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from kmdb_dagster.charts.number_text import SECONDS_PER_UNIT, describe_duration
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.span import (
    LATEST,
    Span,
    epoch_seconds,
    from_epoch_seconds,
    instant,
    parse_duration,
    wall_time,
)

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

DAY = SECONDS_PER_UNIT["d"]
MONTHS_PER_UNIT = {"mo": 1, "q": 3, "y": 12}
MONTH_NAMES = {12: "year", 3: "quarter", 1: "month"}
MIN_DAYS_PER_MONTH, MAX_DAYS_PER_MONTH = 28, 31


class Months(NamedTuple):
    """A length in months of the calendar; a quarter has three, a year twelve."""

    number: int


Length: TypeAlias = int | Months
"""Seconds, or months of the calendar."""


def parse_length(text: str) -> Length:
    """Read the length of a period: ``30min``, ``1h``, ``7d``, ``1mo``, ``1q``, ``1y``.

    Raises:
        ValueError: The text is not a length, or is ``1m``, which could be a minute or a month.
    """
    if found := re.fullmatch(r"([1-9]\d{0,2})(mo|q|y)", text):
        return Months(int(found[1]) * MONTHS_PER_UNIT[found[2]])
    if re.fullmatch(r"\d+m", text):
        raise ValueError(f"{text!r} could be minutes or months: write {text}in or {text}o")
    try:
        return parse_duration(text)
    except ValueError:
        units = "s, min, h, d, w, mo, q, y"
        raise ValueError(f"{text!r} is not a length: expected a number and one of {units}, as in 7d or 1mo") from None


def describe_length(length: Length) -> str:
    """Write a length in its largest unit: ``7 days``, ``1 month``, ``2 quarters``."""
    if isinstance(length, int):
        return describe_duration(length)
    months = next(months for months in MONTH_NAMES if length.number % months == 0)
    number = length.number // months
    return f"{number} {MONTH_NAMES[months]}{'' if number == 1 else 's'}"


def max_seconds(length: Length, zone: tzinfo) -> int:
    """Return the seconds that a length has at most, with a change of the clock."""
    if isinstance(length, Months):
        return length.number * MAX_DAYS_PER_MONTH * DAY + DAY
    return length if zone is UTC or length % DAY else length + DAY


def count_lengths(whole: Length, part: Length, max_count: int) -> int:
    """Return how many periods of a length are in another one.

    Args:
        whole: The longer one.
        part: The shorter one.
        max_count: How many there may be.

    Raises:
        PermanentError: Not a whole number, or more than ``max_count``.
    """
    if isinstance(whole, Months) and isinstance(part, Months):
        count, rest = divmod(whole.number, part.number)
    elif isinstance(whole, int) and isinstance(part, int):
        count, rest = divmod(whole, part)
    else:
        count, rest = 0, 1
    if rest:
        raise PermanentError(
            f"--within {describe_length(whole)} is not a multiple of --every {describe_length(part)}. "
            "Choose one that is."
        )
    if count > max_count:
        raise PermanentError(f"--every is too short: --within may have at most {max_count} such periods.")
    return count


@dataclass(frozen=True)
class Periods:
    """The periods of a span; period i is from ``edges[i]`` to ``edges[i + 1]``, exclusive."""

    span: Span
    length: Length
    edges: tuple[int, ...]
    """Seconds since 1970, ascending. The last one is at the end of the span, or after it."""

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.edges) - 1

    @property
    def is_uniform(self) -> bool:
        """Whether all periods have the same number of seconds."""
        return {after - before for before, after in pairwise(self.edges)} == {self.length}

    def complete_until(self, end: int) -> int:
        """Return how many periods are over at a second."""
        return bisect_right(self.edges, end) - 1

    def put(self, duck: "DuckDBPyConnection") -> None:
        """Create the table ``periods (period, starts, time)``; ``time`` is the start on the zone's clock."""
        import pyarrow as pa

        starts = self.edges[:-1]
        clock = pa.array([wall_time(second, self.span.zone) for second in starts], pa.timestamp("us"))
        numbers = {"period": pa.array(range(len(starts)), pa.int64()), "starts": pa.array(starts, pa.int64())}
        duck.register("batch", pa.table(numbers | {"time": clock}))
        duck.execute("CREATE OR REPLACE TABLE periods AS SELECT * FROM batch")
        duck.unregister("batch")


def divide(span: Span, length: Length, max_periods: int) -> Periods:
    """Divide a span into periods.

    Args:
        span: What is divided.
        length: Of a period.
        max_periods: How many there may be.

    Raises:
        PermanentError: There are more than ``max_periods``.
    """
    seconds = length if isinstance(length, int) else length.number * MIN_DAYS_PER_MONTH * DAY
    span.require_few_periods(seconds, max_periods)
    return Periods(span, length, tuple(_edges(span, length)))


def whole_span(span: Span, length: Length) -> Periods:
    """Return a span as one period."""
    return Periods(span, length, (span.start, span.end))


def _edges(span: Span, length: Length) -> Iterator[int]:
    before = None
    for number in count():
        edge = _edge(span, length, number)
        # A zone may skip a whole day, as Samoa did in 2011: it is no period.
        if edge != before:
            yield edge
        if edge >= span.end:
            return
        before = edge


def _edge(span: Span, length: Length, number: int) -> int:
    if isinstance(length, int) and (span.zone is UTC or length % DAY):
        return span.start + number * length
    begins = wall_time(span.start, span.zone)
    try:
        if isinstance(length, int):
            return instant(begins + timedelta(seconds=number * length), span.zone)
        first = begins.year * 12 + begins.month - 1
        first -= first % length.number
        year, month = divmod(first + number * length.number, 12)
        return instant(begins.replace(year=year, month=month + 1, day=1, hour=0, minute=0, second=0), span.zone)
    except (OverflowError, ValueError):  # after the year 9999
        return epoch_seconds(LATEST) + 1


def whole_periods(length: Length, span: Span, until: datetime) -> "Callable[[str, str], str]":
    """Return a function that makes SQL for DuckDB: how many whole periods are between two seconds since 1970.

    A day is over when the clock shows the same time again, and a month when it shows the same day and time of the next
    month, or the end of that month if it has no such day.

    Args:
        length: Of a period.
        span: Its zone has the calendar.
        until: The last moment that the seconds can be.
    """
    if isinstance(length, int) and (span.zone is UTC or length % DAY):
        return lambda start, end: f"(({end}) - ({start})) // {length}"
    offsets = _offsets(span.zone, span.since, until)
    if isinstance(length, int):
        # When the clock is set back, it may show less than at the start.
        return lambda start, end: f"greatest(0, {_on_clock(end, offsets)} - {_on_clock(start, offsets)}) // {length}"
    return lambda start, end: _whole_months(_on_clock(start, offsets), _on_clock(end, offsets), length.number)


def _whole_months(start: str, end: str, months: int) -> str:
    start, end = (f"make_timestamp(({second})::BIGINT * 1000000)" for second in (start, end))
    crossed = f"date_diff('month', {start}, {end})"
    return f"greatest(0, {crossed} - ({end} < {start} + to_months({crossed}::INT))::BIGINT) // {months}"


def _on_clock(second: str, offsets: list[tuple[int, int]]) -> str:
    """Return SQL for the seconds since 1970 that the clock of a zone shows."""
    (_, first), *changes = offsets
    otherwise = str(first)
    if changes:
        whens = " ".join(f"WHEN ({second}) >= {at} THEN {offset}" for at, offset in reversed(changes))
        otherwise = f"CASE {whens} ELSE {first} END"
    return f"(({second}) + {otherwise})"


def _offsets(zone: tzinfo, since: datetime, until: datetime) -> list[tuple[int, int]]:
    """Return the seconds since 1970 at which the clock of a zone is changed, and its offset from UTC from then on."""
    found = [(epoch_seconds(since), _offset(zone, epoch_seconds(since)))]
    last = epoch_seconds(until)
    for start in range(epoch_seconds(since), last, SECONDS_PER_UNIT["w"]):
        low, high = start, min(start + SECONDS_PER_UNIT["w"], last)
        if _offset(zone, high) != found[-1][1]:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(zone, middle) == found[-1][1] else (low, middle)
            found.append((high, _offset(zone, high)))
    return found


def _offset(zone: tzinfo, second: int) -> int:
    try:
        offset = from_epoch_seconds(second).astimezone(zone).utcoffset()
    except OverflowError:
        return 0
    return int(offset.total_seconds()) if offset else 0


def in_zone(frame: "pl.DataFrame", column: str, zone: tzinfo) -> "pl.DataFrame":
    """Return a frame whose times are shown in a zone.

    Args:
        frame: With times in UTC, without a zone.
        column: The column of times.
        zone: The zone; for UTC, the times stay without one.
    """
    import polars as pl

    if zone is UTC:
        return frame
    return frame.with_columns(pl.col(column).dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone)))
