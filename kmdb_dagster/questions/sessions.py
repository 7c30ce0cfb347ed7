"""Sessions: the visits of a person, which end after some time without an event; their number, length and bounces."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kmdb_dagster.charts.number_text import describe_duration, percent, round_duration
from kmdb_dagster.charts.time_charts import TimeAxis, draw_trend
from kmdb_dagster.questions.periods import Length, describe_length, divide, in_zone
from kmdb_dagster.questions.question import Question, Result
from kmdb_dagster.questions.slices import Slice, query_frame

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

MAX_PERIODS = 20_000
MEASURED = (
    "count(*) AS sessions, count(DISTINCT person) AS people, count(*) / count(DISTINCT person) AS per_person, "
    "avg(events) AS events, quantile_disc(took, 0.5) AS median, quantile_disc(took, 0.9) AS nine_in_ten, "
    "count(*) FILTER (events = 1) / count(*) AS bounce"
)


@dataclass(frozen=True)
class Sessions(Question):
    """The sessions of people: of these events (all if empty), with at most ``gap`` seconds between two."""

    events: tuple[str, ...] = ()
    gap: int = 1800
    every: Length | None = None
    """The length of a period. None: chosen by the span."""

    @property
    def people_columns(self) -> tuple[str, ...]:
        """The columns that say in which numbers of the answer a person counts."""
        return ("time", "sessions", "events", "took")

    def compute(self, slice_: Slice) -> Result:
        """Load the slice, and compute the frame."""
        span = slice_.span
        periods = divide(span, self.every or span.default_period(), MAX_PERIODS)
        periods.put(slice_.duck)
        slice_.take_events(slice_.event_ids(self.events), seconds_before=self.gap)
        find_sessions(slice_.duck, self.gap, span.start)
        frame = in_zone(summarize_sessions(slice_.duck), "time", span.zone)
        ((count, people, _, _, median, _, bounce),) = slice_.duck.sql(f"SELECT {MEASURED} FROM sessions").fetchall()
        of = f" of {', '.join(f'“{name}”' for name in self.events)}" if self.events else ""
        axis = TimeAxis(span.start, span.end, periods.edges, span.known_end(), span.zone)
        every = describe_length(periods.length).removeprefix("1 ")
        return Result(
            title=f"Sessions{of} per {every}, which end after {describe_duration(self.gap)} without an event",
            finding=_finding(count, people, median, bounce) if count else "There are no events in this span.",
            number=count,
            frame=frame,
            caveats=(
                "A session counts where it begins: one that began before the span is left out.",
                "The end of the span cuts the sessions that go on after it.",
                "The length is from the first event to the last: with one event it is 0.",
            ),
            members=MEMBERS,
            draw=lambda figure: draw_trend(figure, _lines(frame), "sessions", axis),
        )


MEMBERS = """
    SELECT person, p.time, count(*) AS sessions, sum(events)::BIGINT AS events, sum(took)::BIGINT AS took
    FROM sessions JOIN periods p USING (period) GROUP BY ALL
"""


def find_sessions(duck: "DuckDBPyConnection", gap: int, start: int) -> None:
    """Create the table ``sessions (person, period, began, took, events)``; ``took`` is in seconds.

    Args:
        duck: A database with the tables ``facts``, from ``gap`` seconds before the span on, and ``periods``.
        gap: Most seconds between two events of a session.
        start: The first second of the span, since 1970. Sessions that began earlier are left out.
    """
    duck.execute(
        f"""
        CREATE TABLE sessions AS
        WITH marked AS (
            SELECT person, t, id, coalesce(t - lag(t) OVER w > {gap}, true) AS begins
            FROM facts WINDOW w AS (PARTITION BY person ORDER BY t, id)
        ),
        numbered AS (
            SELECT person, t, sum(begins::INT) OVER w AS number
            FROM marked WINDOW w AS (PARTITION BY person ORDER BY t, id ROWS UNBOUNDED PRECEDING)
        ),
        found AS (
            SELECT person, min(t) AS began, max(t) - min(t) AS took, count(*) AS events
            FROM numbered GROUP BY person, number HAVING min(t) >= {start}
        )
        SELECT person, period, began, took, events FROM found ASOF JOIN periods ON began >= starts
        """
    )


def summarize_sessions(duck: "DuckDBPyConnection") -> "pl.DataFrame":
    """Summarize the table ``sessions`` for each period.

    Returns:
        ``time`` (start of the period, UTC), ``sessions``, ``people``, ``per_person`` (sessions), ``events`` (average of
        a session), ``median`` and ``nine_in_ten`` (seconds), ``bounce`` (0 to 1: sessions with one event). All but
        ``sessions`` and ``people`` are NULL in a period without sessions.
    """
    return query_frame(
        duck,
        f"""
        SELECT make_timestamp(starts * 1000000) AS time, coalesce(s.sessions, 0) AS sessions,
            coalesce(people, 0) AS people, s.* EXCLUDE (period, sessions, people)
        FROM periods p LEFT JOIN (SELECT period, {MEASURED} FROM sessions GROUP BY period) s USING (period)
        ORDER BY starts
        """,
    )


def _lines(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Return the sessions and the people as two groups of a trend."""
    lines = frame.unpivot(["sessions", "people"], index="time", variable_name="group", value_name="number")
    return lines.rename({"number": "sessions"})


def _finding(count: int, people: int, median: int, bounce: float) -> str:
    found = f"{count:,} sessions of {people:,} people, {count / people:.1f} each."
    return f"{found} Half take up to {round_duration(median)}; {percent(bounce, 1)} have one event (bounce)."
