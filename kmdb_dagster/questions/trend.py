"""Trend: events over time, by name or by the value of a property."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Select, SQLColumnExpression, Text, and_, distinct, func, select
from sqlalchemy.orm import aliased

from kmdb_dagster.charts.number_text import describe_duration
from kmdb_dagster.charts.palette import OTHER
from kmdb_dagster.charts.time_charts import TimeAxis, draw_trend
from kmdb_dagster.questions.answer import int_sum
from kmdb_dagster.questions.attribution import Attribution
from kmdb_dagster.questions.grammar import MEASURES
from kmdb_dagster.questions.groups import MAX_GROUPS, NONE, group_name, quote_reserved
from kmdb_dagster.questions.labels import label_events, take_values
from kmdb_dagster.questions.question import Question, Result
from kmdb_dagster.questions.segment import EVERYBODY
from kmdb_dagster.questions.slices import (
    MAX_LABEL_CHARACTERS,
    Slice,
    in_span,
    query_frame,
)
from kmdb_dagster.questions.span import Span
from kmdb_dagster.questions.sql_functions import number_of, period_of, seconds_of
from kmdb_dagster.warehouse.interning.name_kinds import EVENT
from kmdb_dagster.warehouse.schema.tables import Event, Property

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

MAX_PERIODS = 20_000
"""Periods of a span: an hour each for two years. Each group has a row for each."""
AMOUNT = aliased(Property, name="amounts")
MEASURED = (
    "coalesce(fsum(value), 0) AS sum, avg(value) AS average, median(value) AS median, "
    "coalesce(fsum(value), 0) / count(DISTINCT person) AS per_person"
)
LARGEST = f"SELECT label, sum(events) AS total FROM counts GROUP BY label ORDER BY total DESC, label LIMIT {MAX_GROUPS}"
GROUP_OF_LABEL = "(SELECT label AS of, name AS group_name FROM group_names) ON label IS NOT DISTINCT FROM of"
PEOPLE = func.count(distinct(Event.user_id))


@dataclass(frozen=True)
class Trend(Question):
    """How often these events happen (all events if empty) in each period of ``every`` seconds."""

    events: tuple[str, ...] = ()
    by: str | None = None
    every: int | None = None
    people: bool = False
    """Draw people, each once in a period, instead of events."""
    value: str | None = None
    """A property of the events whose numbers are summed up."""
    measure: str = "sum"
    """Which of `MEASURES` of the numbers is drawn."""
    attribution: Attribution = Attribution.OWN
    """By which value of ``by`` an event is grouped: its own, or one of its person."""

    @property
    def people_columns(self) -> tuple[str, ...]:
        """The columns that say in which numbers of the answer a person counts."""
        return ("time", "group", "events", "sum") if self.value else ("time", "group", "events")

    def compute(self, slice_: Slice) -> Result:
        """Load the slice, and compute the frame."""
        span = slice_.span
        every = self.every or span.default_period()
        span.require_few_periods(every, MAX_PERIODS)
        self._take_counts(slice_, every)
        _name_groups(slice_, are_values=self.by is not None, are_named=self._attributed_to() is not None)
        frame = count_over_time(slice_.duck, span, every)
        axis = TimeAxis(span.start, span.end, every, span.known_end())
        title = f"{self._subject()} per {describe_duration(every).removeprefix('1 ')}"
        title += self.attribution.described(self.by)
        if self.value:
            return self._measured(slice_.duck, frame, title, axis)
        what = "people" if self.people else "events"
        return Result(
            title=title,
            finding=f"{int_sum(frame['events']):,} events" + _busiest(frame),
            number=int_sum(frame["events"]),
            frame=frame,
            caveats=_partial_period_caveat(axis),
            members=members_sql(span.start, every),
            draw=lambda figure: draw_trend(figure, frame, what, axis),
        )

    def _measured(self, duck: "DuckDBPyConnection", counts: "pl.DataFrame", title: str, axis: TimeAxis) -> Result:
        """Return the result for a value: the counts with the measures of the numbers."""
        frame = add_measures(duck, counts, axis.start, axis.every)
        ((events, numbers, *overall),) = duck.sql(f"SELECT count(*), count(value), {MEASURED} FROM hits").fetchall()
        total, average, median, per_person = overall
        without = (f"{events - numbers:,} of {events:,} events have no number as “{self.value}”.",)
        return Result(
            title=f"{self.measure.capitalize()} of “{self.value}”: {title}",
            finding=f"{numbers:,} numbers, sum {total:,.2f}: average {average:,.2f}, median {median:,.2f}, "
            f"{per_person:,.2f} per person."
            if numbers
            else f"No event has a number as “{self.value}” in this span.",
            number=overall[MEASURES.index(self.measure)],
            frame=frame,
            caveats=(*(without if events > numbers else ()), *_partial_period_caveat(axis)),
            members=members_sql(axis.start, axis.every, "fsum(value)"),
            draw=lambda figure: draw_trend(figure, frame, self.measure.replace(" ", "_"), axis),
        )

    def _subject(self) -> str:
        counted = ", ".join(f"“{name}”" for name in self.events) or "Events"
        return f"People with {counted}" if self.people else counted

    def _take_counts(self, slice_: Slice, every: int) -> None:
        """Create the table ``counts (period, label, events, people)``.

        The server counts, so that few rows are loaded. For a segment, or to list the people, the events are loaded
        into the table ``hits``, and counted here.
        """
        period = period_of(Event.t, slice_.span.start, every).label("period")
        if self.who == EVERYBODY and not slice_.needs_people and not self.value and not self._attributed_to():
            measures = (func.count().label("events"), PEOPLE.label("people"))
            counted = self._counted(slice_, period, *measures, self._own_label())
            slice_.take("counts", counted.group_by("period", "label"))
            return
        events = (Event.user_id.label("person"), Event.id, Event.n.label("name"))
        if by := self._attributed_to():
            t = seconds_of(Event.t).label("t")
            slice_.take("unlabelled", self._counted(slice_, period, t, *events, *self._number()))
            take_values(slice_, by, self.attribution)
            label_events(slice_.duck, self.attribution)
        else:
            slice_.take("hits", self._counted(slice_, period, *events, *self._number(), self._own_label()))
        counts = "period, label, count(*) AS events, count(DISTINCT person) AS people"
        slice_.duck.execute(f"CREATE TABLE counts AS SELECT {counts} FROM hits GROUP BY period, label")

    def _attributed_to(self) -> str | None:
        """Return the property by whose values of people, not of events, the events are grouped."""
        return None if self.attribution is Attribution.OWN else self.by

    def _number(self) -> tuple[SQLColumnExpression[Any], ...]:
        return (number_of(AMOUNT.value).label("value"),) if self.value else ()

    def _own_label(self) -> SQLColumnExpression[Any]:
        """Return what an event is grouped by, if not by a value of its person: its own value, or its name."""
        own = func.left(Property.value, MAX_LABEL_CHARACTERS, type_=Text) if self.by else Event.n
        return own.label("label")

    def _counted(self, slice_: Slice, *columns: SQLColumnExpression[Any]) -> Select[Any]:
        """Return the statement for these columns of the events and of their own properties."""
        counted = select(*columns).select_from(Event)
        for table, name in ((Property, None if self._attributed_to() else self.by), (AMOUNT, self.value)):
            if name:
                its = and_(table.event_id == Event.id, table.t == Event.t, table.key == slice_.property_id(name))
                # The properties need bounds of their own: the server does not prune partitions by those of the events.
                counted = counted.outerjoin(table, its & and_(*in_span(table.t, slice_.span.since, slice_.until)))
        return slice_.bound(counted, EVENT, slice_.event_ids(self.events))


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
            {LARGEST}
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


def add_measures(duck: "DuckDBPyConnection", counts: "pl.DataFrame", start: int, every: int) -> "pl.DataFrame":
    """Add the measures of the numbers in ``hits`` to the counts of `count_over_time`.

    Args:
        duck: The slice's database, with ``hits``.
        counts: The counts of `count_over_time`.
        start: The second of the first period, since 1970.
        every: The length of a period in seconds.

    Returns:
        The counts with ``sum`` (0 without numbers), ``average``, ``median`` and ``per_person`` (Float64): the sum for
        each person with an event.
    """
    import polars as pl

    measured = query_frame(
        duck,
        f"""
        WITH largest AS ({LARGEST}), named AS (SELECT * FROM hits JOIN {GROUP_OF_LABEL})
        SELECT make_timestamp(({start} + period * {every}) * 1000000) AS time,
            coalesce(l.label, '{OTHER}') AS "group", {MEASURED}
        FROM named LEFT JOIN largest l ON l.label = named.group_name GROUP BY ALL
        """,
    )
    joined = counts.join(measured, ["time", "group"], "left", maintain_order="left")
    return joined.with_columns(pl.col("sum").fill_null(0.0))


def members_sql(start: int, every: int, total: str = "0") -> str:
    """Return a query for the people of each period and group, with the number of their events, and a total.

    Args:
        start: The second of the first period, since 1970.
        every: The length of a period in seconds.
        total: The total of a person in a period, as SQL of ``hits``.
    """
    hits = f"SELECT person, period, label, count(*) AS events, {total} AS sum FROM hits GROUP BY ALL"
    time = f"make_timestamp(({start} + period * {every}) * 1000000) AS time"
    return f"""SELECT person, {time}, group_name AS "group", events, sum FROM ({hits}) JOIN {GROUP_OF_LABEL}"""


def _name_groups(slice_: Slice, *, are_values: bool, are_named: bool) -> None:
    """Create ``group_names (label, name)``, and put the names into ``counts``. None reads like `NONE` or `OTHER`.

    Args:
        slice_: With the table ``counts``.
        are_values: The labels are values of a property, not ids of events.
        are_named: The values are names of groups already.
    """
    labels = "SELECT DISTINCT label FROM counts"
    if are_values:
        name = "label" if are_named else group_name("label")
        names = f"SELECT label, coalesce({name}, '{NONE}') AS name FROM ({labels})"
    else:
        slice_.look_up_names([row[0] for row in slice_.duck.sql(labels).fetchall()])
        known = {"id": pa.array(slice_.names, pa.int64()), "string": [*slice_.names.values()]}
        slice_.put("known_names", pa.table(known))
        names = f"SELECT label, {quote_reserved('string')} AS name FROM ({labels}) JOIN known_names ON id = label"
    slice_.duck.execute(f"CREATE TABLE group_names AS {names}")
    # In one statement: the name of one event may be the id of another, such as 7.
    named = f"SELECT period, group_name AS label, events, people FROM counts JOIN {GROUP_OF_LABEL}"
    slice_.duck.execute(f"CREATE OR REPLACE TABLE counts AS {named}")


def _busiest(frame: "pl.DataFrame") -> str:
    if frame["group"].n_unique() < 2:
        return "."
    top = frame["group"][0]
    return f", most often {top} ({frame.filter(frame['group'] == top)['events'].sum():,})."


def _partial_period_caveat(axis: TimeAxis) -> tuple[str, ...]:
    if (axis.end - axis.start) % axis.every == 0 and axis.end <= axis.known_end:
        return ()
    return ("The last period is not complete: its numbers will rise.",)
