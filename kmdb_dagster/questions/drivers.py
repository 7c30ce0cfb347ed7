"""Drivers: which property values are associated with conversion, in one logistic regression of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kmdb_dagster.charts.comparison_charts import draw_drivers
from kmdb_dagster.charts.number_text import describe_duration
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.answer import int_sum
from kmdb_dagster.questions.attribution import Attribution
from kmdb_dagster.questions.conversions import Conversion, find_conversions
from kmdb_dagster.questions.groups import NONE, band_numbers, fold_rare_values
from kmdb_dagster.questions.labels import pick_values, take_values
from kmdb_dagster.questions.logistic import CONFIDENCE, Fit, fit
from kmdb_dagster.questions.question import Question, Result, nobody_did
from kmdb_dagster.questions.slices import Slice, query_frame

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

MAX_VALUES_PER_PROPERTY = 8
MIN_PEOPLE_PER_VALUE = 10
"""Rule of thumb: people who convert, and people who do not, for each estimated value."""
MAX_CLEAR_VALUES = 40
"""Rows beyond this are hard to read in one picture."""


@dataclass(frozen=True)
class Drivers(Question):
    """Which ``properties`` of people who did ``start`` go with ``goal`` within ``within`` seconds of it."""

    start: str
    goal: str
    properties: tuple[str, ...]
    within: int
    attribution: Attribution = Attribution.FIRST_EVER
    """Which of a person's values before the goal counts."""

    @property
    def reach(self) -> int:
        """Seconds that people are followed after the span."""
        return self.within

    @property
    def people_columns(self) -> tuple[str, ...]:
        """The columns that say in which numbers of the answer a person counts."""
        return (*map(_column, self.properties), "converted")

    def compute(self, slice_: Slice) -> Result:
        """Load the slice, and compute the frame."""
        start, goal = slice_.event_ids([self.start, self.goal])
        slice_.take_events([start, goal])
        find_conversions(slice_.duck, Conversion(start, goal, self.within, slice_.span.end))
        for place, name in enumerate(self.properties):
            self._take_labels(slice_, name, f"labels{place}", start)
        counts = count_patterns(slice_.duck, self.properties)
        if not int_sum(counts["people"]):
            raise PermanentError(f"{nobody_did(self.start)} There is nothing to compare: ask about another span.")
        fitted = fit(counts, self.properties)
        return Result(
            title=f"What goes with “{self.goal}” within {describe_duration(self.within)} of “{self.start}”?",
            finding=_finding(fitted),
            number=None,
            frame=fitted.frame,
            caveats=_caveats(fitted),
            members=members_sql(self.properties),
            draw=lambda figure: draw_drivers(figure, fitted.frame),
        )

    def _take_labels(self, slice_: Slice, name: str, table: str, start: int) -> None:
        take_values(slice_, name, self.attribution, table, people_with=start)
        delete_late_values(slice_.duck, f"all_{table}", self.within)
        pick_values(slice_.duck, self.attribution, table, starts="SELECT * FROM started")
        band_numbers(slice_.duck, table)
        fold_rare_values(slice_.duck, table, MAX_VALUES_PER_PROPERTY)


def delete_late_values(duck: "DuckDBPyConnection", table: str, within: int) -> None:
    """Delete values that were set with the goal or after it: they follow from the conversion.

    Args:
        duck: A database with the tables ``people`` and ``table``.
        table: All values of one property.
        within: Seconds allowed from the start to the goal.
    """
    duck.execute(
        f"""
        DELETE FROM {table} l USING people p WHERE l.person = p.person
            AND (l.t > p.t + {within} OR l.t > p.goal_t OR l.t = p.goal_t AND l.id > p.goal_id)
        """
    )


def count_patterns(duck: "DuckDBPyConnection", properties: Sequence[str]) -> "pl.DataFrame":
    """Count people, and those who convert, for each combination of values.

    So the size of the regression depends on the cardinality of the values, not on the number of people.

    Args:
        duck: A database with the tables ``people``, ``labels0``, ``labels1``, …, one for each property.
        properties: The names of the properties, in that order.

    Returns:
        A text column for each property, ``people``, ``converted`` (Int64).
    """
    values = ", ".join(f"coalesce(labels{at}.label, '{NONE}') AS v{at}" for at in range(len(properties)))
    joins = " ".join(f"LEFT JOIN labels{at} USING (person)" for at in range(len(properties)))
    counts = f"SELECT {values}, count(*) AS people, count(goal_t) AS converted FROM people {joins}"
    frame = query_frame(duck, f"{counts} GROUP BY ALL ORDER BY ALL")
    return frame.rename({f"v{at}": name for at, name in enumerate(properties)})


def members_sql(properties: Sequence[str]) -> str:
    """Return a query for the people who did the start, with their values and whether they convert."""
    values = "".join(
        f"""coalesce(labels{at}.label, '{NONE}') AS {_quoted(_column(name))}, """ for at, name in enumerate(properties)
    )
    joins = " ".join(f"LEFT JOIN labels{at} USING (person)" for at in range(len(properties)))
    return f"SELECT person, {values} if(goal_t IS NULL, 'no', 'yes') AS converted FROM people {joins}"


def _column(name: str) -> str:
    """Return the column of a property in the list of people; two columns of ours have names already."""
    return f"{name} (property)" if name in {"person", "converted"} else name


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _finding(fitted: Fit) -> str:
    clear = fitted.frame.filter((fitted.frame["p"] < 1 - CONFIDENCE).fill_null(value=False)).sort("p")
    if clear.is_empty():
        return "No value has a clear association."
    row = clear.row(0, named=True)
    return (
        f"Clearest: {row['property']} = {row['value']}: odds {row['odds']:.2f} times as high "
        f"(95 % interval {row['odds_low']:.2f} to {row['odds_high']:.2f})."
    )


def _caveats(fitted: Fit) -> tuple[str, ...]:
    frame = fitted.frame
    caveats = [
        "Association is not causation: people who convert anyway may have these values for another reason.",
        f"{fitted.tests} values are tested: p-values are adjusted by Holm's method, intervals are not.",
        "A value counts if it was set before the goal. People who convert late had more time to get one.",
    ]
    if fitted.fewest < MIN_PEOPLE_PER_VALUE * fitted.tests:
        caveats.append(
            f"Only {fitted.fewest:,} people convert (or do not) for {fitted.tests} values: too few for reliable odds."
        )
    if fitted.separated:
        caveats.append(
            f"{fitted.separated} values have no odds, because all of their people convert, or none; they are excluded."
        )
    if fitted.dropped:
        caveats.append(f"{fitted.dropped} values are collinear with others; they have no odds of their own.")
    if len(frame) > MAX_CLEAR_VALUES:
        caveats.append("Many values: ask about fewer properties at a time.")
    return tuple(caveats)
