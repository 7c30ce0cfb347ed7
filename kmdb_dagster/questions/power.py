"""Power: on how many days people do an event, in each month (KM's power report, and the ratio DAU/MAU)."""

from dataclasses import dataclass
from datetime import time
from itertools import pairwise
from typing import TYPE_CHECKING

from kmdb_dagster.charts.count_charts import draw_histogram
from kmdb_dagster.charts.number_text import SECONDS_PER_UNIT, describe_duration
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.histogram import count_times
from kmdb_dagster.questions.periods import Length, Months, Periods, describe_length, divide, in_zone, whole_span
from kmdb_dagster.questions.question import Question, Result
from kmdb_dagster.questions.slices import Slice, query_frame
from kmdb_dagster.questions.span import Span

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

DAY = SECONDS_PER_UNIT["d"]
MAX_TIMES = 28
"""More days are counted in this row, because every month has this many."""
MAX_PERIODS = 1000
MAX_PIECES = 20_000
MAX_DRAWN_PERIODS = 6
"""The latest ones are drawn. A reader cannot tell more of them apart."""
SHORT_SPAN = 60 * DAY
"""A shorter span need not have a whole month, so it is one period."""


@dataclass(frozen=True)
class Power(Question):
    """On how many days people do any of ``events``, in each period."""

    events: tuple[str, ...]
    every: Length | None = None
    """The length of a period. None: months of the calendar, or the whole span if it is short."""
    each: int = DAY
    """Seconds of what is counted once for each person: a day of the zone, or another length."""

    @property
    def people_columns(self) -> tuple[str, ...]:
        """The columns that say in which numbers of the answer a person counts."""
        return ("time", "times")

    def compute(self, slice_: Slice) -> Result:
        """Load the slice, and compute the frame."""
        span, duck = slice_.span, slice_.duck
        periods, pieces = self._periods(span), self._pieces(span)
        slice_.take_events(slice_.event_ids(self.events))
        find_active(duck, periods, pieces)
        frame = in_zone(compare_periods(duck), "time", span.zone)
        latest, drawn = _latest_whole(frame, periods), _drawn(frame, periods)
        events = ", ".join(f"“{name}”" for name in self.events)
        per = "" if len(periods) == 1 else f", per {describe_length(periods.length).removeprefix('1 ')}"
        return Result(
            title=f"Active {self._piece}s: {events}{per}",
            finding=self._finding(latest),
            number=latest["ratio"][0] if len(latest) else None,
            frame=frame,
            caveats=_cut_period_caveat(periods),
            members='SELECT person, time, times FROM done JOIN periods ON period = "group"',
            draw=lambda figure: draw_histogram(figure, drawn, f"active {self._piece}s"),
        )

    def _periods(self, span: Span) -> Periods:
        if self.every is None and span.end - span.start < SHORT_SPAN:
            return whole_span(span, span.end - span.start)
        return divide(span, self.every or Months(1), MAX_PERIODS)

    def _pieces(self, span: Span) -> Periods:
        every = self.every if isinstance(self.every, int) else DAY
        if every % self.each and self.every:
            raise PermanentError(
                f"--every {describe_length(self.every)} is not a multiple of --each {describe_duration(self.each)}. "
                "Choose one that is."
            )
        if span.end - span.start > MAX_PIECES * self.each:
            raise PermanentError(f"--each is too short: a span may have at most {MAX_PIECES:,} of them.")
        return divide(span, self.each, MAX_PIECES + 1)

    @property
    def _piece(self) -> str:
        length = describe_duration(self.each)
        return (
            length.removeprefix("1 ")
            if length.startswith("1 ")
            else f"{length.replace(' ', '-').removesuffix('s')} period"
        )

    def _finding(self, rows: "pl.DataFrame") -> str:
        if rows.is_empty():
            return "No person did it in this span."
        first = rows.row(0, named=True)
        since = f"{first['time']:%Y-%m-%d}" if first["time"].time() == time() else f"{first['time']:%Y-%m-%d %H:%M}"
        at = "on" if self.each == DAY else "in"
        return (
            f"{100 * first['ratio']:.1f} % of {first['of']:,} people are active {at} an average {self._piece}: "
            f"{first['average']:,.1f} {self._piece}s each, since {since}."
        )


def find_active(duck: "DuckDBPyConnection", periods: Periods, pieces: Periods) -> None:
    """Create the tables ``done (person, group, times)``, ``parts (piece, group)`` and ``periods``. A group is a period.

    Args:
        duck: A database with the table ``facts``.
        periods: What is compared.
        pieces: What is counted. A piece belongs to the period in which it begins.
    """
    pieces.put(duck)
    duck.execute("ALTER TABLE periods RENAME TO pieces")
    periods.put(duck)
    span = pieces.span
    known = min(span.end, max(span.known_end(), span.start + 1))
    duck.execute(
        f"""
        CREATE TABLE parts AS SELECT l.period AS piece, p.period AS "group"
        FROM pieces l ASOF JOIN periods p ON l.starts >= p.starts WHERE l.starts < {known}
        """
    )
    # Two statements: as one, the distinct pieces and the groups would have to fit into memory at the same time.
    piece = f"(t - {span.start}) // {pieces.length} AS piece FROM facts"
    searched = "period AS piece FROM facts ASOF JOIN pieces ON t >= starts"
    duck.execute(f"CREATE TABLE active AS SELECT DISTINCT person, {piece if pieces.is_uniform else searched}")
    duck.execute(
        """
        CREATE TABLE done AS SELECT person, "group", count(*) AS times FROM active JOIN parts USING (piece) GROUP BY ALL
        """
    )


def compare_periods(duck: "DuckDBPyConnection") -> "pl.DataFrame":
    """Count the people of each period by their number of active pieces.

    Args:
        duck: A database with the tables of `find_active`.

    Returns:
        ``time`` (start of the period, UTC), ``of`` (the people who are active in it), ``average`` (pieces of a
        person), ``ratio`` (of the average to all pieces: the share of them who are active in one, 0 to 1), ``times``,
        ``people``, ``share`` and ``at_least`` as in `count_times`.
    """
    duck.register("counted", count_times(duck, 1, MAX_TIMES))
    return query_frame(
        duck,
        """
        SELECT make_timestamp(starts * 1000000) AS time, of, average, average / pieces AS ratio,
            times, people, share, at_least
        FROM counted JOIN periods ON period = "group" JOIN (SELECT "group", count(*) AS pieces FROM parts GROUP BY ALL)
            USING ("group")
        ORDER BY starts, try_cast(trim(times, '+') AS BIGINT)
        """,
    )


def _latest_whole(frame: "pl.DataFrame", periods: Periods) -> "pl.DataFrame":
    """Return the rows of the latest period that is observed to its end, or of the latest one if none is."""
    begins, span = frame["time"].dt.epoch("s"), periods.span
    end = min(span.end, span.known_end())
    whole = [start for start, after in pairwise(periods.edges) if span.start <= start and after <= end]
    observed = begins.filter(begins.is_in(whole))
    return frame.filter(begins == (max(observed) if len(observed) else max(begins, default=0)))


def _drawn(frame: "pl.DataFrame", periods: Periods) -> "pl.DataFrame":
    """Return the rows of the latest periods, each named by its start."""
    import polars as pl

    latest = frame["time"].unique().sort().tail(MAX_DRAWN_PERIODS)
    name = "%Y-%m-%d" if all(t.time() == time() for t in latest) else "%Y-%m-%d %H:%M"
    name = "%Y-%m" if isinstance(periods.length, Months) else name
    return frame.filter(pl.col("time").is_in(latest.implode())).with_columns(group=pl.col("time").dt.strftime(name))


def _cut_period_caveat(periods: Periods) -> tuple[str, ...]:
    span, edges = periods.span, periods.edges
    is_cut = edges[0] < span.start or edges[-1] > min(span.end, span.known_end())
    return ("A period at an end of the span is not whole: only its ratio compares.",) if is_cut else ()
