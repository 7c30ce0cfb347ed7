"""Retention: how many people come back after a first event, by cohort and period."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kmdb_dagster.charts.cohort_charts import draw_retention
from kmdb_dagster.charts.number_text import percent
from kmdb_dagster.questions.answer import int_sum
from kmdb_dagster.questions.conversions import IS_LATER, Conversion
from kmdb_dagster.questions.periods import Length, Periods, describe_length, divide, in_zone, whole_periods
from kmdb_dagster.questions.question import Question, Result, nobody_did
from kmdb_dagster.questions.slices import Slice, query_frame

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

MAX_PERIODS = 1000
"""Periods of a span. Each cohort has a row for each period, so there are up to half a million rows."""


@dataclass(frozen=True)
class Retention(Question):
    """Cohorts by the first ``start`` in the span, and who did ``back`` (any event if None) in each period."""

    start: str
    back: str | None = None
    every: Length | None = None
    """The length of a period, and of a cohort. None: chosen by the span."""

    @property
    def people_columns(self) -> tuple[str, ...]:
        """The columns that say in which numbers of the answer a person counts."""
        return ("cohort", "period")

    def compute(self, slice_: Slice) -> Result:
        """Load the slice, and compute the frame."""
        span = slice_.span
        periods = divide(span, self.every or span.default_period(), MAX_PERIODS)
        periods.put(slice_.duck)
        start, *back = slice_.event_ids([self.start, self.back] if self.back else [self.start])
        slice_.take_events([start, *back] if back else [], people_with=None if back else start)
        frame = count_returns(slice_.duck, start, back[0] if back else None, periods)
        first = frame.filter(frame["period"] == 1)
        people, came_back = int_sum(first["people"]), int_sum(first["back"])
        again = f"“{self.back}”" if self.back else "anything"
        length = describe_length(periods.length)
        started = count_started(slice_.duck, start, span.end)
        return Result(
            title=f"Who does {again} again after a first “{self.start}”, in periods of {length}",
            finding=_finding(people, came_back, length) if started else nobody_did(self.start),
            number=came_back / people if people else None,
            frame=in_zone(frame, "cohort", span.zone),
            caveats=(
                "The first event is the first in the span: people who came before the span count as new.",
                "A period is excluded until it is over for the whole cohort.",
            ),
            members=members_sql(start, back[0] if back else None, periods),
            draw=lambda figure: draw_retention(figure, in_zone(frame, "cohort", span.zone), length),
        )


def count_returns(duck: "DuckDBPyConnection", start: int, back: int | None, periods: Periods) -> "pl.DataFrame":
    """Count the people of each cohort that came back in each period after their own first event.

    Period 0 begins with that first event, without the event itself.

    Args:
        duck: A database with the tables ``facts`` and ``periods``.
        start: The id of the name that starts; people with a first start in the same period are a cohort.
        back: The id of the name that counts as coming back; None: any event.
        periods: The cohorts; the periods after a first event have the same length.

    Returns:
        ``cohort`` (its first second, UTC), ``people``, ``period`` (from 0), ``back``, ``share`` (0 to 1). Periods that
        are not over for the whole cohort are excluded.
    """
    span = periods.span
    complete = periods.complete_until(min(span.end, span.known_end()))
    born, seen = Conversion(start, None, 0, span.end).cohorts_sql(), _seen_sql(back, periods)
    return query_frame(
        duck,
        f"""
        WITH born AS ({born}),
        sizes AS (SELECT cohort, count(*) AS people FROM born GROUP BY cohort),
        seen AS (
            SELECT cohort, period, count(DISTINCT person) AS back FROM ({seen}) GROUP BY ALL
        ),
        whole AS (
            SELECT * FROM sizes, range({max(complete, 0)}) r(period) WHERE cohort + period + 2 <= {complete}
        )
        SELECT make_timestamp(starts * 1000000) AS cohort, people, w.period,
            coalesce(back, 0) AS back, coalesce(back, 0) / people AS share
        FROM whole w LEFT JOIN seen USING (cohort, period) JOIN periods p ON p.period = cohort
        ORDER BY starts, w.period
        """,
    )


def members_sql(start: int, back: int | None, periods: Periods) -> str:
    """Return a query for the people of the cohorts: a row for each period in which one came back, or one without.

    Args:
        start: ``keys.id`` of the event that starts.
        back: ``keys.id`` of the event that counts as coming back; None for any event.
        periods: The cohorts.
    """
    return f"""
        WITH born AS ({Conversion(start, None, 0, periods.span.end).cohorts_sql()})
        SELECT person, p.time AS cohort, s.period
        FROM born b LEFT JOIN ({_seen_sql(back, periods)}) s USING (person, cohort)
        JOIN periods p ON p.period = b.cohort
    """


def _seen_sql(back: int | None, periods: Periods) -> str:
    """Return a query for the people of ``born`` who come back: ``person, cohort, period``, perhaps more than once."""
    is_back = f"f.name = {back}" if back else "true"
    period = f"{whole_periods(periods.length, periods.span, periods.span.until)('s.t', 'f.t')} AS period"
    return f"SELECT person, cohort, {period} FROM facts f JOIN born s USING (person) WHERE {IS_LATER} AND {is_back}"


def count_started(duck: "DuckDBPyConnection", start: int, end: int) -> int:
    """Count the people of all cohorts, also of those that are not observed long enough.

    Args:
        duck: The slice's database.
        start: ``keys.id`` of the event that starts.
        end: Starts are before this second, since 1970.
    """
    ((people,),) = duck.sql(f"SELECT count(*) FROM ({Conversion(start, None, 0, end).starts_sql()})").fetchall()
    return int(people)


def _finding(people: int, back: int, length: str) -> str:
    if not people:
        return "No cohort is observed long enough yet."
    period = length.removeprefix("1 ")
    return f"Of {people:,} people, {percent(back, people)} come back in the {period} after the first."
