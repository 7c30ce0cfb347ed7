"""Trend: events over time, by name or by the value of a property."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Integer, Select, SQLColumnExpression, Text, and_, distinct, func, select

from kmdb_dagster.charts.number_text import describe_duration
from kmdb_dagster.charts.palette import OTHER
from kmdb_dagster.charts.time_charts import TimeAxis, draw_trend
from kmdb_dagster.questions.answer import int_sum
from kmdb_dagster.questions.groups import MAX_GROUPS, NONE, group_name, quote_reserved
from kmdb_dagster.questions.question import Question, Result
from kmdb_dagster.questions.segment import EVERYBODY
from kmdb_dagster.questions.slices import (
    MAX_LABEL_CHARACTERS,
    Slice,
    in_span,
    query_frame,
    seconds_of,
)
from kmdb_dagster.questions.span import Span
from kmdb_dagster.warehouse.interning.name_kinds import EVENT
from kmdb_dagster.warehouse.schema.tables import Event, Property

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

DIV_PRECEDENCE = 8
"""SQLAlchemy's precedence of multiplication, which MySQL's DIV has too."""
SECONDS_PER_DAY = 86_400
MAX_PERIODS = 20_000
"""Periods of a span: an hour each for two years. Each group has a row for each."""
GROUP_OF_LABEL = "(SELECT label AS of, name FROM group_names) ON label IS NOT DISTINCT FROM of"
PEOPLE = func.count(distinct(Event.user_id))
DAYS_BEFORE_1970 = 719_528
"""TO_DAYS('1970-01-01')."""


@dataclass(frozen=True)
class Trend(Question):
    """How often these events happen (all events if empty) in each period of ``every`` seconds."""

    events: tuple[str, ...] = ()
    by: str | None = None
    every: int | None = None
    people: bool = False
    """Draw people, each once in a period, instead of events."""

    @property
    def people_columns(self) -> tuple[str, ...]:
        """The columns that say in which numbers of the answer a person counts."""
        return ("time", "group", "events")

    def compute(self, slice_: Slice) -> Result:
        """Load the slice, and compute the frame."""
        span = slice_.span
        every = self.every or span.default_period()
        span.require_few_periods(every, MAX_PERIODS)
        self._take_counts(slice_, every)
        _name_groups(slice_, are_values=self.by is not None)
        frame = count_over_time(slice_.duck, span, every)
        what = "people" if self.people else "events"
        axis = TimeAxis(span.start, span.end, every, span.known_end())
        return Result(
            title=f"{self._subject()} per {describe_duration(every).removeprefix('1 ')}"
            + (f", by {self.by}" if self.by else ""),
            finding=f"{int_sum(frame['events']):,} events" + _busiest(frame),
            number=int_sum(frame["events"]),
            frame=frame,
            caveats=_partial_period_caveat(span, every),
            members=members_sql(span, every),
            draw=lambda figure: draw_trend(figure, frame, what, axis),
        )

    def _subject(self) -> str:
        counted = ", ".join(f"“{name}”" for name in self.events) or "Events"
        return f"People with {counted}" if self.people else counted

    def _take_counts(self, slice_: Slice, every: int) -> None:
        """Create the table ``counts (period, label, events, people)``.

        The server counts, so that few rows are loaded. For a segment, or to list the people, the events are loaded
        into the table ``hits``, and counted here.
        """
        period = _period_number(slice_.span, every).label("period")
        if self.who == EVERYBODY and not slice_.needs_people:
            counted = self._counted(slice_, period, func.count().label("events"), PEOPLE.label("people"))
            slice_.take("counts", counted.group_by("period", "label"))
            return
        events = (Event.user_id.label("person"), Event.id, Event.n.label("name"))
        slice_.take("hits", self._counted(slice_, period, *events))
        counts = "period, label, count(*) AS events, count(DISTINCT person) AS people"
        slice_.duck.execute(f"CREATE TABLE counts AS SELECT {counts} FROM hits GROUP BY period, label")

    def _counted(self, slice_: Slice, *columns: SQLColumnExpression[Any]) -> Select[Any]:
        """Return the statement for these columns of the events, and their ``label``: the name or the value."""
        group: SQLColumnExpression[Any] = Event.n
        if self.by:
            group = func.left(Property.value, MAX_LABEL_CHARACTERS, type_=Text)
        counted = select(*columns, group.label("label"))
        if self.by:
            key = slice_.property_id(self.by)
            its = and_(Property.event_id == Event.id, Property.t == Event.t, Property.key == key)
            # The properties need bounds of their own: the server does not prune partitions by those of the events.
            its &= and_(*in_span(Property.t, slice_.span.since, slice_.until))
            counted = counted.select_from(Event).outerjoin(Property, its)
        return slice_.bound(counted, EVENT, slice_.event_ids(self.events))


def _period_number(span: Span, every: int) -> Any:  # noqa: ANN401 - SQLAlchemy types no operator of ours
    """Return SQL for the period of the span that an event is in, from 0."""
    if span.start % SECONDS_PER_DAY == every % SECONDS_PER_DAY == 0:
        # Grouping by whole days takes the server a third less time than by seconds.
        days = func.to_days(Event.t, type_=Integer) - (DAYS_BEFORE_1970 + span.start // SECONDS_PER_DAY)
        return days.op("DIV", precedence=DIV_PRECEDENCE)(every // SECONDS_PER_DAY)
    return (seconds_of(Event.t) - span.start).op("DIV", precedence=DIV_PRECEDENCE)(every)


def count_over_time(duck: "DuckDBPyConnection", span: Span, every: int) -> "pl.DataFrame":
    """Fill the counts up to a row for each period and each of the largest groups.

    Args:
        duck: A database with the table ``counts (period, label, events, people)``; the first period is 0.
        span: The time that the periods divide.
        every: Seconds of a period.

    Returns:
        ``time`` (start of the period, UTC), ``group``, ``events``, ``people`` (Int64; 0 without events). ``people`` is
        NULL for `OTHER`, because a person may be in several of its groups.
    """
    periods = -(-(span.end - span.start) // every)
    return query_frame(
        duck,
        f"""
        WITH largest AS (
            SELECT label, sum(events) AS total FROM counts GROUP BY label ORDER BY total DESC, label LIMIT {MAX_GROUPS}
        ),
        folded AS (
            SELECT period, coalesce(l.label, '{OTHER}') AS "group", sum(events) AS events,
                if(l.label IS NULL, NULL, sum(people)) AS people, coalesce(max(l.total), 0) AS total
            FROM counts c LEFT JOIN largest l ON l.label = c.label GROUP BY period, l.label
        ),
        grid AS (
            SELECT p.period, g.* FROM range({periods}) p(period), (
                SELECT "group", max(total) AS total FROM folded GROUP BY "group") g
        )
        SELECT make_timestamp(({span.start} + g.period * {every}) * 1000000) AS time, "group",
            coalesce(events, 0)::BIGINT AS events,
            if("group" = '{OTHER}', NULL, coalesce(people, 0))::BIGINT AS people
        FROM grid g LEFT JOIN folded f USING (period, "group")
        ORDER BY g.total DESC, "group", time
        """,
    )


def members_sql(span: Span, every: int) -> str:
    """Return a query for the people of each period and group, with the number of their events."""
    return f"""
        SELECT person, make_timestamp(({span.start} + period * {every}) * 1000000) AS time, name AS "group", events
        FROM (SELECT person, period, label, count(*) AS events FROM hits GROUP BY ALL) JOIN {GROUP_OF_LABEL}
    """


def _name_groups(slice_: Slice, *, are_values: bool) -> None:
    """Create ``group_names (label, name)``, and put the names into ``counts``. None reads like `NONE` or `OTHER`."""
    labels = "SELECT DISTINCT label FROM counts"
    if are_values:
        names = f"SELECT label, coalesce({group_name('label')}, '{NONE}') AS name FROM ({labels})"
    else:
        slice_.look_up_names([row[0] for row in slice_.duck.sql(labels).fetchall()])
        known = {"id": pa.array(slice_.names, pa.int64()), "string": [*slice_.names.values()]}
        slice_.put("known_names", pa.table(known))
        names = f"SELECT label, {quote_reserved('string')} AS name FROM ({labels}) JOIN known_names ON id = label"
    slice_.duck.execute(f"CREATE TABLE group_names AS {names}")
    # In one statement: the name of one event may be the id of another, such as 7.
    named = f"SELECT period, name AS label, events, people FROM counts JOIN {GROUP_OF_LABEL}"
    slice_.duck.execute(f"CREATE OR REPLACE TABLE counts AS {named}")


def _busiest(frame: "pl.DataFrame") -> str:
    if frame["group"].n_unique() < 2:
        return "."
    top = frame["group"][0]
    return f", most often {top} ({frame.filter(frame['group'] == top)['events'].sum():,})."


def _partial_period_caveat(span: Span, every: int) -> tuple[str, ...]:
    if (span.end - span.start) % every == 0 and span.end <= span.known_end():
        return ()
    return ("The last period is not complete: its numbers will rise.",)
