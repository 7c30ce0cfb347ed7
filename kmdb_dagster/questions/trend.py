"""Trend: events over time, by name or by the value of a property."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    SQLColumnExpression,
    Text,
    and_,
    case,
    distinct,
    func,
    literal_column,
    select,
)
from sqlalchemy.orm import aliased

from kmdb_dagster.charts.palette import OTHER
from kmdb_dagster.charts.time_charts import TimeAxis, draw_trend
from kmdb_dagster.questions.answer import int_sum
from kmdb_dagster.questions.attribution import Attribution
from kmdb_dagster.questions.grammar import MEASURES
from kmdb_dagster.questions.groups import MAX_GROUPS, NONE, group_name, quote_reserved
from kmdb_dagster.questions.labels import label_events, take_values
from kmdb_dagster.questions.periods import Length, Periods, describe_length, divide, in_zone
from kmdb_dagster.questions.question import Question, Result
from kmdb_dagster.questions.segment import EVERYBODY
from kmdb_dagster.questions.slices import (
    MAX_LABEL_CHARACTERS,
    Slice,
    in_span,
    naive_utc,
    query_frame,
)
from kmdb_dagster.questions.span import from_epoch_seconds
from kmdb_dagster.questions.sql_functions import number_of, period_of, seconds_of
from kmdb_dagster.warehouse.interning.name_kinds import EVENT
from kmdb_dagster.warehouse.schema.tables import Event, Property
from kmdb_dagster.wording import counted

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
    """How often these events happen (all events if empty) in each period."""

    events: tuple[str, ...] = ()
    by: str | None = None
    every: Length | None = None
    """The length of a period. None: chosen by the span."""
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
        periods = divide(span, self.every or span.default_period(), MAX_PERIODS)
        periods.put(slice_.duck)
        self._take_counts(slice_, periods)
        _name_groups(slice_, are_values=self.by is not None, are_named=self._attributed_to() is not None)
        frame = count_over_time(slice_.duck)
        axis = TimeAxis(span.start, span.end, periods.edges, span.known_end(), span.zone)
        title = f"{self._subject()} per {describe_length(periods.length).removeprefix('1 ')}"
        title += self.attribution.described(self.by)
        if self.value:
            return self._measured(slice_.duck, frame, title, axis)
        what = "people" if self.people else "events"
        return Result(
            title=title,
            finding=counted(int_sum(frame["events"]), "event") + _busiest(frame),
            number=int_sum(frame["events"]),
            frame=in_zone(frame, "time", span.zone),
            caveats=_partial_period_caveat(axis),
            members=members_sql(),
            draw=lambda figure: draw_trend(figure, frame, what, axis),
        )

    def _measured(self, duck: "DuckDBPyConnection", counts: "pl.DataFrame", title: str, axis: TimeAxis) -> Result:
        """Return the result for a value: the counts with the measures of the numbers."""
        frame = add_measures(duck, counts)
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
            frame=in_zone(frame, "time", axis.zone),
            caveats=(*(without if events > numbers else ()), *_partial_period_caveat(axis)),
            members=members_sql("fsum(value)"),
            draw=lambda figure: draw_trend(figure, frame, self.measure.replace(" ", "_"), axis),
        )

    def _subject(self) -> str:
        names = ", ".join(f"“{name}”" for name in self.events) or "Events"
        return f"People with {names}" if self.people else names

    def _take_counts(self, slice_: Slice, periods: Periods) -> None:
        """Create the table ``counts (period, label, events, people)``.

        The server counts, so that few rows are loaded. For a segment, or to list the people, the events are loaded
        into the table ``hits``, and counted here.
        """
        period = _period_number(periods).label("period")
        if self.who == EVERYBODY and not slice_.needs_people and not self.value and not self._attributed_to():
            measures = (func.count().label("events"), PEOPLE.label("people"))
            statement = self._counted(slice_, period, *measures, self._own_label())
            slice_.take("counts", statement.group_by("period", "label"))
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
        statement = select(*columns).select_from(Event)
        for table, name in ((Property, None if self._attributed_to() else self.by), (AMOUNT, self.value)):
            if name:
                its = and_(table.event_id == Event.id, table.t == Event.t, table.key == slice_.property_id(name))
                # The properties need bounds of their own: the server does not prune partitions by those of the events.
                statement = statement.outerjoin(table, its & and_(*in_span(table.t, slice_.span.since, slice_.until)))
        return slice_.bound(statement, EVENT, slice_.event_ids(self.events))


def _period_number(periods: Periods) -> ColumnElement[int]:
    """Return SQL for the period that an event is in, from 0."""
    if isinstance(periods.length, int) and periods.is_uniform:
        return period_of(Event.t, periods.span.start, periods.length)
    return _search(periods.edges, 0, len(periods) - 1)


def _search(edges: Sequence[int], first: int, last: int) -> ColumnElement[int]:
    """Return SQL that finds the period of an event by halves.

    Args:
        edges: Where all periods begin.
        first: The first period that it can be.
        last: The last one.
    """
    if first == last:
        return literal_column(str(first), Integer)
    middle = (first + last + 1) // 2
    is_earlier = Event.t < naive_utc(from_epoch_seconds(edges[middle]))
    return case((is_earlier, _search(edges, first, middle - 1)), else_=_search(edges, middle, last))


def count_over_time(duck: "DuckDBPyConnection") -> "pl.DataFrame":
    """Fill the counts up to a row for each period and each of the largest groups.

    Args:
        duck: A database with the tables ``counts (period, label, events, people)`` and ``periods``.

    Returns:
        ``time`` (start of the period, UTC), ``group``, ``events``, ``people`` (Int64; 0 without events). ``people`` is
        NULL for `OTHER`, because a person may be in several of its groups.
    """
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
            SELECT p.period, p.starts, g.* FROM periods p, (
                SELECT "group", max(total) AS total FROM folded GROUP BY "group") g
        )
        SELECT make_timestamp(starts * 1000000) AS time, "group",
            coalesce(events, 0)::BIGINT AS events,
            if("group" = '{OTHER}', NULL, coalesce(people, 0))::BIGINT AS people
        FROM grid g LEFT JOIN folded f USING (period, "group")
        ORDER BY g.total DESC, "group", time
        """,
    )


def add_measures(duck: "DuckDBPyConnection", counts: "pl.DataFrame") -> "pl.DataFrame":
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
        SELECT make_timestamp(starts * 1000000) AS time, coalesce(l.label, '{OTHER}') AS "group", {MEASURED}
        FROM named JOIN periods USING (period) LEFT JOIN largest l ON l.label = named.group_name GROUP BY ALL
        """,
    )
    joined = counts.join(measured, ["time", "group"], "left", maintain_order="left")
    return joined.with_columns(pl.col("sum").fill_null(0.0))


def members_sql(total: str = "0") -> str:
    """Return a query for the people of each period and group, with the number of their events, and a total."""
    hits = f"SELECT person, period, label, count(*) AS events, {total} AS sum FROM hits GROUP BY ALL"
    named = f"({hits}) JOIN periods USING (period) JOIN {GROUP_OF_LABEL}"
    return f"""SELECT person, time, group_name AS "group", events, sum FROM {named}"""


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
    caveats = []
    if axis.edges[0] < axis.start:
        caveats.append("The first period began before the span: its numbers are not complete.")
    if axis.edges[-1] > min(axis.end, axis.known_end):
        caveats.append("The last period is not complete: its numbers will rise.")
    return tuple(caveats)
