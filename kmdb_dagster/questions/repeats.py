"""Repeats: how often people do an event after a first one, within a time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kmdb_dagster.charts.count_charts import draw_histogram
from kmdb_dagster.charts.number_text import describe_duration, percent
from kmdb_dagster.questions.attribution import Attribution
from kmdb_dagster.questions.conversions import IS_LATER, Conversion
from kmdb_dagster.questions.groups import NONE, fold_rare_values
from kmdb_dagster.questions.histogram import count_times
from kmdb_dagster.questions.labels import take_labels
from kmdb_dagster.questions.question import Question, Result, nobody_did
from kmdb_dagster.questions.slices import Slice

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_TIMES = 10
"""More times are counted in the row of this many."""


@dataclass(frozen=True)
class Repeats(Question):
    """How often ``repeated`` follows a person's first ``start`` in the span, at most ``within`` seconds later."""

    start: str
    repeated: str
    within: int
    by: str | None = None
    attribution: Attribution = Attribution.FIRST_EVER

    @property
    def reach(self) -> int:
        """Seconds that people are followed after the span."""
        return self.within

    @property
    def people_columns(self) -> tuple[str, ...]:
        """The columns that say in which numbers of the answer a person counts."""
        return ("group", "times") if self.by else ("times",)

    def compute(self, slice_: Slice) -> Result:
        """Load the slice, and compute the frame."""
        start, repeated = slice_.event_ids([self.start, self.repeated])
        slice_.take_events([start, repeated])
        take_labels(slice_, self.by, self.attribution, start)
        fold_rare_values(slice_.duck)
        find_repeats(slice_.duck, Conversion(start, repeated, self.within, slice_.span.end))
        frame = count_times(slice_.duck, 0, MAX_TIMES).sort(
            "of", "group", descending=[True, False], maintain_order=True
        )
        ((people, once, average),) = slice_.duck.sql(
            "SELECT count(*), count(*) FILTER (times > 0), avg(times) FROM done"
        ).fetchall()
        length = describe_duration(self.within)
        return Result(
            title=f"How often “{self.repeated}” follows “{self.start}” within {length}"
            + self.attribution.described(self.by),
            finding=f"{percent(once, people)} of {people:,} people do it at least once, {average:,.2f} times on "
            "average."
            if people
            else nobody_did(self.start),
            number=average,
            frame=frame if self.by else frame.drop("group", "of", "average"),
            members='SELECT person, "group", times FROM done',
            draw=lambda figure: draw_histogram(figure, frame, f"times within {length}"),
        )


def find_repeats(duck: "DuckDBPyConnection", conversion: Conversion) -> None:
    """Create the table ``done (person, group, times)``: how many goals each person does in time after the first start.

    Args:
        duck: A database with the tables ``facts`` and ``labels``.
        conversion: From where to where.
    """
    duck.execute(f"CREATE TABLE started AS {conversion.starts_sql()}")
    duck.execute(
        f"""
        CREATE TABLE repeated AS SELECT person, count(*) AS times FROM facts f JOIN started s USING (person)
        WHERE f.name = {conversion.goal} AND {IS_LATER} AND f.t <= s.t + {conversion.within} GROUP BY person
        """
    )
    duck.execute(
        f"""
        CREATE TABLE done AS
        SELECT person, coalesce(label, '{NONE}') AS "group", coalesce(times, 0) AS times
        FROM started LEFT JOIN repeated USING (person) LEFT JOIN labels USING (person)
        """
    )
