"""Lifetime value: what people are worth since a first event, by cohort or by the value of a property."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, select

from kmdb_dagster.charts.cohort_charts import draw_lifetime
from kmdb_dagster.questions.attribution import Attribution
from kmdb_dagster.questions.conversions import Conversion
from kmdb_dagster.questions.groups import NONE, fold_rare_values
from kmdb_dagster.questions.labels import take_labels
from kmdb_dagster.questions.periods import (
    Length,
    count_lengths,
    describe_length,
    divide,
    in_zone,
    max_seconds,
    whole_periods,
    whole_span,
)
from kmdb_dagster.questions.question import Question, Result, nobody_did
from kmdb_dagster.questions.slices import Slice, query_frame
from kmdb_dagster.questions.sql_functions import number_of, seconds_of
from kmdb_dagster.warehouse.interning.name_kinds import PROPERTY
from kmdb_dagster.warehouse.schema.tables import Event, Property

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

MAX_PERIODS = 400


@dataclass(frozen=True)
class Lifetime(Question):
    """The sum of ``value`` over the events of a person from the first ``start`` in the span on, for ``within``."""

    start: str
    value: str
    within: Length
    every: Length
    """The length of a period, and of a cohort."""
    by: str | None = None
    """Group people by a value of this property, in place of cohorts."""
    attribution: Attribution = Attribution.FIRST_EVER
    """By which of their values."""

    @property
    def reach(self) -> int:
        """Seconds that people are followed after the span."""
        return max_seconds(self.within, self.when.zone)

    @property
    def people_columns(self) -> tuple[str, ...]:
        """The columns that say in which numbers of the answer a person counts."""
        return ("group" if self.by else "cohort", "sum")

    @property
    def reach_text(self) -> str:
        """How long people are followed, as text."""
        return describe_length(self.within)

    def compute(self, slice_: Slice) -> Result:
        """Load the slice, and compute the frame."""
        span, length = slice_.span, describe_length(self.within)
        count = count_lengths(self.within, self.every, MAX_PERIODS)
        cohorts = whole_span(span, self.every) if self.by else divide(span, self.every, MAX_PERIODS)
        cohorts.put(slice_.duck)
        (start,) = slice_.event_ids([self.start])
        slice_.take_events([start])
        take_amounts(slice_, slice_.property_id(self.value))
        take_labels(slice_, self.by, self.attribution, start)
        fold_rare_values(slice_.duck)
        period_of = whole_periods(self.every, span, max(slice_.until, span.known_until or span.until))
        find_payments(slice_.duck, start, span.end, f"{period_of('s.t', 'a.t')} AS period", count)
        is_over = f"{period_of('latest', str(span.known_end()))} > period"
        frame = in_zone(sum_up(slice_.duck, count, is_over), "cohort", span.zone)
        frame = frame.drop("cohort" if self.by else "group")
        ((people, total),) = slice_.duck.sql("SELECT count(*), coalesce(fsum(paid), 0) FROM payers").fetchall()
        return Result(
            title=f"Lifetime value (“{self.value}”) in the first {length.removeprefix('1 ')} after “{self.start}”"
            + self.attribution.described(self.by),
            finding=f"{people:,} people are worth {total / people:,.2f} each within {length}, {total:,.2f} together."
            if people
            else nobody_did(self.start),
            number=total / people if people else None,
            frame=frame,
            caveats=(
                "The first event is the first in the span: people who came before the span count as new.",
                "A period is excluded until it is over for the whole group.",
            ),
            members='SELECT person, time AS cohort, label AS "group", coalesce(paid, 0) AS sum FROM payers '
            "JOIN periods ON period = cohort",
            draw=lambda figure: draw_lifetime(figure, frame, describe_length(self.every)),
        )


def take_amounts(slice_: Slice, key: int) -> None:
    """Load the numbers of a property of events as the table ``amounts (person, t, id, name, value)``."""
    number = number_of(Property.value)
    its_event = and_(Event.id == Property.event_id, Event.t == Property.t)
    columns = (Property.user_id.label("person"), seconds_of(Property.t).label("t"), Event.id, Event.n.label("name"))
    numbers = select(*columns, number.label("value")).join_from(Property, Event, its_event).where(number.is_not(None))
    slice_.take("amounts", slice_.bound(numbers, PROPERTY, [key]))


def find_payments(duck: "DuckDBPyConnection", start: int, end: int, period: str, count: int) -> None:
    """Create the tables ``born``, ``payments`` and ``payers``.

    ``born (person, t, id, cohort, label)`` are the people who start, ``payments (person, period, value)`` their numbers
    by the period since the start, and ``payers (person, cohort, label, paid)`` the sum of each.

    Args:
        duck: A database with the tables ``facts``, ``amounts``, ``labels`` and ``periods``: the cohorts.
        start: The id of the name that starts.
        end: Seconds since 1970; people start before this second.
        period: An SQL column: the whole periods between the start ``s.t`` and the number ``a.t``.
        count: Periods in which numbers count.
    """
    duck.execute(
        f"""
        CREATE TABLE born AS SELECT b.*, coalesce(label, '{NONE}') AS label
        FROM ({Conversion(start, None, 0, end).cohorts_sql()}) b LEFT JOIN labels l ON l.person = b.person
        """
    )
    duck.execute(
        f"""
        CREATE TABLE payments AS SELECT * FROM (
            SELECT person, {period}, value FROM amounts a JOIN born s USING (person)
            WHERE a.t > s.t OR a.t = s.t AND a.id >= s.id
        ) WHERE period < {count}
        """
    )
    duck.execute(
        """
        CREATE TABLE payers AS SELECT person, cohort, label, paid
        FROM born LEFT JOIN (SELECT person, fsum(value) AS paid FROM payments GROUP BY person) USING (person)
        """
    )


def sum_up(duck: "DuckDBPyConnection", count: int, is_over: str) -> "pl.DataFrame":
    """Sum up the numbers of each cohort and group from the start to the end of each period.

    Args:
        duck: A database with the tables of `find_payments`.
        count: How many periods there are.
        is_over: An SQL condition: ``period`` is over for a person who started at the second ``latest``.

    Returns:
        ``cohort`` (its first second, UTC), ``group``, ``people``, ``period`` (from 1), ``paying`` (people with a number
        so far), ``sum`` and ``per_person`` (so far). Periods that are not over for the whole group are excluded.
    """
    return query_frame(
        duck,
        f"""
        WITH sizes AS (SELECT cohort, label, count(*) AS people FROM payers GROUP BY ALL),
        ends AS (SELECT cohort, max(t) AS latest FROM born GROUP BY cohort),
        first_paid AS (SELECT person, min(period) AS period FROM payments GROUP BY person),
        paying AS (
            SELECT cohort, label, period, count(*) AS paying FROM first_paid JOIN payers USING (person) GROUP BY ALL
        ),
        paid AS (
            SELECT cohort, label, period, fsum(value) AS paid
            FROM payments JOIN payers USING (person) GROUP BY ALL
        ),
        grid AS (SELECT * FROM sizes, range({count}) r(period)),
        so_far AS (
            SELECT g.*, sum(coalesce(paying, 0)) OVER passed AS paying, sum(coalesce(paid, 0)) OVER passed AS paid
            FROM grid g LEFT JOIN paying USING (cohort, label, period) LEFT JOIN paid USING (cohort, label, period)
            WINDOW passed AS (PARTITION BY cohort, label ORDER BY period)
        )
        SELECT make_timestamp(starts * 1000000) AS cohort, label AS "group", people, s.period + 1 AS period,
            paying::BIGINT AS paying, paid AS sum, paid / people AS per_person
        FROM (SELECT * FROM so_far JOIN ends USING (cohort) WHERE {is_over}) s JOIN periods p ON p.period = cohort
        ORDER BY starts, max(people) OVER (PARTITION BY label) DESC, label, s.period
        """,
    )
