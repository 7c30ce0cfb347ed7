"""Lifetime value: what people are worth since a first event, by cohort or by the value of a property."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, select

from kmdb_dagster.charts.cohort_charts import draw_lifetime
from kmdb_dagster.charts.number_text import describe_duration
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.attribution import Attribution
from kmdb_dagster.questions.conversions import Conversion
from kmdb_dagster.questions.groups import NONE, fold_rare_values
from kmdb_dagster.questions.labels import take_labels
from kmdb_dagster.questions.question import Question, Result, nobody_did
from kmdb_dagster.questions.slices import Slice, query_frame
from kmdb_dagster.questions.span import Span
from kmdb_dagster.questions.sql_functions import number_of, seconds_of
from kmdb_dagster.warehouse.interning.name_kinds import PROPERTY
from kmdb_dagster.warehouse.schema.tables import Event, Property

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

MAX_PERIODS = 400


@dataclass(frozen=True)
class Lifetime(Question):
    """The sum of ``value`` over the events of a person for ``within`` seconds from the first ``start`` in the span."""

    start: str
    value: str
    within: int
    every: int
    """Seconds of a period, and of a cohort."""
    by: str | None = None
    """Group people by a value of this property, in place of cohorts."""
    attribution: Attribution = Attribution.FIRST_EVER
    """By which of their values."""

    @property
    def reach(self) -> int:
        """Seconds that people are followed after the span."""
        return self.within

    @property
    def people_columns(self) -> tuple[str, ...]:
        """The columns that say in which numbers of the answer a person counts."""
        return ("group" if self.by else "cohort", "sum")

    def compute(self, slice_: Slice) -> Result:
        """Load the slice, and compute the frame."""
        self._require_periods(slice_.span)
        (start,) = slice_.event_ids([self.start])
        slice_.take_events([start])
        take_amounts(slice_, slice_.property_id(self.value))
        take_labels(slice_, self.by, self.attribution, start)
        fold_rare_values(slice_.duck)
        find_payments(slice_.duck, start, self.within, None if self.by else self.every, slice_.span)
        frame = sum_up(slice_.duck, self.every, self.within // self.every, slice_.span)
        frame = frame.drop("cohort" if self.by else "group")
        ((people, total),) = slice_.duck.sql("SELECT count(*), coalesce(fsum(paid), 0) FROM payers").fetchall()
        length = describe_duration(self.within)
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
            members='SELECT person, cohort_start AS cohort, label AS "group", coalesce(paid, 0) AS sum FROM payers',
            draw=lambda figure: draw_lifetime(figure, frame, describe_duration(self.every)),
        )

    def _require_periods(self, span: Span) -> None:
        if self.within % self.every:
            raise PermanentError(
                f"--within {describe_duration(self.within)} is not a multiple of --every "
                f"{describe_duration(self.every)}. Choose one that is."
            )
        if self.within // self.every > MAX_PERIODS:
            raise PermanentError(f"--every is too short: --within may have at most {MAX_PERIODS} such periods.")
        if not self.by:
            span.require_few_periods(self.every, MAX_PERIODS)


def take_amounts(slice_: Slice, key: int) -> None:
    """Load the numbers of a property of events as the table ``amounts (person, t, id, name, value)``."""
    number = number_of(Property.value)
    its_event = and_(Event.id == Property.event_id, Event.t == Property.t)
    columns = (Property.user_id.label("person"), seconds_of(Property.t).label("t"), Event.id, Event.n.label("name"))
    numbers = select(*columns, number.label("value")).join_from(Property, Event, its_event).where(number.is_not(None))
    slice_.take("amounts", slice_.bound(numbers, PROPERTY, [key]))


def find_payments(duck: "DuckDBPyConnection", start: int, within: int, cohort_length: int | None, span: Span) -> None:
    """Create the tables ``born``, ``payments`` and ``payers``.

    ``born (person, t, id, cohort, label)`` are the people who start, ``payments (person, period_t, value)`` their
    numbers by the seconds since the start, and ``payers (person, cohort_start, label, paid)`` the sum of each.

    Args:
        duck: A database with the tables ``facts``, ``amounts`` and ``labels``.
        start: The id of the name that starts.
        within: Seconds from the start in which numbers count.
        cohort_length: Seconds of a cohort; None: all people are one.
        span: The time in which people start.
    """
    cohort = f"(s.t - {span.start}) // {cohort_length}" if cohort_length else "0"
    starts = Conversion(start, None, 0, span.end).starts_sql()
    duck.execute(
        f"""
        CREATE TABLE born AS SELECT person, s.t, s.id, {cohort} AS cohort, coalesce(label, '{NONE}') AS label
        FROM ({starts}) s LEFT JOIN labels USING (person)
        """
    )
    duck.execute(
        f"""
        CREATE TABLE payments AS SELECT person, a.t - s.t AS took, value FROM amounts a JOIN born s USING (person)
        WHERE (a.t > s.t OR a.t = s.t AND a.id >= s.id) AND a.t < s.t + {within}
        """
    )
    began = f"make_timestamp(({span.start} + cohort::BIGINT * {cohort_length or 0}) * 1000000)"
    duck.execute(
        f"""
        CREATE TABLE payers AS SELECT person, {began} AS cohort_start, cohort, label, paid
        FROM born LEFT JOIN (SELECT person, fsum(value) AS paid FROM payments GROUP BY person) USING (person)
        """
    )


def sum_up(duck: "DuckDBPyConnection", every: int, periods: int, span: Span) -> "pl.DataFrame":
    """Sum up the numbers of each cohort and group from the start to the end of each period.

    Args:
        duck: A database with the tables of `find_payments`.
        every: Seconds of a period.
        periods: How many periods there are.
        span: The time in which people start, and the end of the imported data.

    Returns:
        ``cohort`` (its first second, UTC), ``group``, ``people``, ``period`` (from 1), ``paying`` (people with a number
        so far), ``sum`` and ``per_person`` (so far). Periods that are not over for the whole group are excluded.
    """
    return query_frame(
        duck,
        f"""
        WITH sizes AS (
            SELECT any_value(cohort_start) AS cohort_start, cohort, label, count(*) AS people FROM payers GROUP BY ALL
        ),
        ends AS (SELECT cohort, max(t) AS latest FROM born GROUP BY cohort),
        first_paid AS (SELECT person, min(took) // {every} AS period FROM payments GROUP BY person),
        paying AS (
            SELECT cohort, label, period, count(*) AS paying FROM first_paid JOIN payers USING (person) GROUP BY ALL
        ),
        paid AS (
            SELECT cohort, label, took // {every} AS period, fsum(value) AS paid
            FROM payments JOIN payers USING (person) GROUP BY ALL
        ),
        grid AS (SELECT * FROM sizes, range({periods}) p(period)),
        so_far AS (
            SELECT g.*, sum(coalesce(paying, 0)) OVER passed AS paying, sum(coalesce(paid, 0)) OVER passed AS paid
            FROM grid g LEFT JOIN paying USING (cohort, label, period) LEFT JOIN paid USING (cohort, label, period)
            WINDOW passed AS (PARTITION BY cohort, label ORDER BY period)
        )
        SELECT cohort_start AS cohort, label AS "group", people, period + 1 AS period, paying::BIGINT AS paying,
            paid AS sum, paid / people AS per_person
        FROM so_far JOIN ends USING (cohort) WHERE latest + (period + 1) * {every} <= {span.known_end()}
        ORDER BY cohort, max(people) OVER (PARTITION BY label) DESC, label, period
        """,
    )
