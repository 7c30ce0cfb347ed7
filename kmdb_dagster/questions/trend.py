"""Trend: events over time, by name or by the value of a property."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Engine, Integer, Select, SQLColumnExpression, Text, and_, distinct, func, select

from kmdb_dagster.charts.number_text import describe_duration
from kmdb_dagster.charts.palette import OTHER
from kmdb_dagster.charts.time_charts import draw_trend
from kmdb_dagster.questions.answer import Answer, int_sum
from kmdb_dagster.questions.groups import MAX_GROUPS, NONE, quote_reserved
from kmdb_dagster.questions.slices import (
    MAX_LABEL_CHARACTERS,
    Slice,
    bound_to_span,
    in_span,
    open_slice,
    query_frame,
    resolve_span,
    seconds_of,
)
from kmdb_dagster.questions.span import RECENTLY, Span, When
from kmdb_dagster.warehouse.schema.tables import Event, Property

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

DIV_PRECEDENCE = 8
"""SQLAlchemy's precedence of multiplication, which MySQL's DIV has too."""
SECONDS_PER_DAY = 86_400
DAYS_BEFORE_1970 = 719_528
"""TO_DAYS('1970-01-01')."""


@dataclass(frozen=True)
class Trend:
    """How often these events happen (all events if empty) in each period of ``every`` seconds."""

    events: tuple[str, ...] = ()
    by: str | None = None
    every: int | None = None
    people: bool = False
    """Draw people, each once in a period, instead of events."""
    when: When = RECENTLY

    def ask(self, engine: Engine) -> Answer:
        """Load the slice, compute the frame, and return the answer."""
        span = resolve_span(engine, self.when)
        every = self.every or span.default_period()
        with open_slice(engine) as slice_:
            slice_.take("counts", self._counts(slice_, span, every))
            _label_values(slice_.duck) if self.by else _label_names(slice_)
            frame = count_over_time(slice_.duck, span, every)
        what = "people" if self.people else "events"
        return Answer(
            question=f"{self._subject()} per {describe_duration(every).removeprefix('1 ')}"
            + (f", by {self.by}" if self.by else ""),
            finding=f"{int_sum(frame['events']):,} events" + _busiest(frame),
            number=int_sum(frame["events"]),
            span=span,
            frame=frame,
            sql=tuple(slice_.statements),
            caveats=_partial_period_caveat(span, every),
            draw=lambda figure: draw_trend(figure, frame, what),
        )

    def _subject(self) -> str:
        counted = ", ".join(f"“{name}”" for name in self.events) or "Events"
        return f"People with {counted}" if self.people else counted

    def _counts(self, slice_: Slice, span: Span, every: int) -> Select[Any]:
        """Return the statement that counts on the server, so that few rows are loaded."""
        period = _period_number(span, every)
        group: SQLColumnExpression[Any] = Event.n
        if self.by:
            group = func.left(Property.value, MAX_LABEL_CHARACTERS, type_=Text)
        counted = select(
            period.label("period"),
            group.label("label"),
            func.count().label("events"),
            func.count(distinct(Event.user_id)).label("people"),
        )
        if self.by:
            (key,) = slice_.name_ids([self.by])
            its = and_(Property.event_id == Event.id, Property.t == Event.t, Property.key == key)
            # The properties need bounds of their own: the server does not prune partitions by those of the events.
            its &= and_(*in_span(Property.t, span.since, span.until))
            counted = counted.select_from(Event).outerjoin(Property, its)
        narrowed = bound_to_span(counted, Event, span.since, span.until, slice_.name_ids(self.events))
        return narrowed.group_by(period, group)


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


def _label_values(duck: "DuckDBPyConnection") -> None:
    """Turn values into group names that cannot be confused with `NONE` or `OTHER`."""
    duck.execute(f"UPDATE counts SET label = coalesce({quote_reserved('label')}, '{NONE}')")


def _label_names(slice_: Slice) -> None:
    """Replace the ids of names by the names."""
    slice_.look_up_names([row[0] for row in slice_.duck.sql("SELECT DISTINCT label FROM counts").fetchall()])
    # In one statement: the name of one event may be the id of another, such as 7.
    slice_.duck.register(
        "names", pa.table({"id": pa.array(slice_.names, pa.int64()), "name": [*slice_.names.values()]})
    )
    slice_.duck.execute(
        "CREATE OR REPLACE TABLE counts AS "
        f"SELECT period, {quote_reserved('names.name')} AS label, events, people "
        "FROM counts JOIN names ON names.id = counts.label"
    )
    slice_.duck.unregister("names")


def _busiest(frame: "pl.DataFrame") -> str:
    if frame.is_empty():
        return "."
    top = frame["group"][0]
    return f", most often {top} ({frame.filter(frame['group'] == top)['events'].sum():,})."


def _partial_period_caveat(span: Span, every: int) -> tuple[str, ...]:
    if (span.end - span.start) % every == 0 and span.end <= span.known_end():
        return ()
    return ("The last period is not complete: its numbers will rise.",)
