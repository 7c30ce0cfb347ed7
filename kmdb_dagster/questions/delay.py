"""Delay: how long people take from one event to another (time to convert)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kmdb_dagster.charts.number_text import describe_duration, percent, round_duration
from kmdb_dagster.charts.time_charts import draw_delay
from kmdb_dagster.questions.answer import int_sum
from kmdb_dagster.questions.attribution import Attribution
from kmdb_dagster.questions.conversions import Conversion, find_conversions
from kmdb_dagster.questions.groups import NONE, fold_rare_values
from kmdb_dagster.questions.labels import take_labels
from kmdb_dagster.questions.question import Question, Result, nobody_did
from kmdb_dagster.questions.slices import Slice, query_frame

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

POINTS_PER_CURVE = 200


@dataclass(frozen=True)
class Delay(Question):
    """From a person's first ``start`` in the span to the first ``goal`` after it, at most ``within`` seconds later."""

    start: str
    goal: str
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
        return ("group", "took") if self.by else ("took",)

    def compute(self, slice_: Slice) -> Result:
        """Load the slice, and compute the frame."""
        start, goal = slice_.event_ids([self.start, self.goal])
        slice_.take_events([start, goal])
        take_labels(slice_, self.by, self.attribution, start)
        fold_rare_values(slice_.duck)
        measure_delays(slice_.duck, Conversion(start, goal, self.within, slice_.span.end))
        frame, curve = summarize_delays(slice_.duck), conversion_curve(slice_.duck)
        people, converted = int_sum(frame["people"]), int_sum(frame["converted"])
        return Result(
            title=f"From {self.start} to {self.goal}" + self.attribution.described(self.by),
            finding=self._finding(frame) if people else nobody_did(self.start),
            number=converted / people if people else None,
            frame=frame if self.by else frame.drop("group"),
            members='SELECT person, "group", took FROM delays',
            draw=lambda figure: draw_delay(figure, frame, curve),
        )

    def _finding(self, frame: "pl.DataFrame") -> str:
        people, converted = int_sum(frame["people"]), int_sum(frame["converted"])
        reached = f"{percent(converted, people)} of {people:,} people reach the goal"
        half = f", half of them within {round_duration(frame['median'][0])}" if converted and not self.by else ""
        return f"{reached} within {describe_duration(self.within)}{half}."


def measure_delays(duck: "DuckDBPyConnection", conversion: Conversion) -> None:
    """Create the view ``delays (person, group, took)``: seconds from start to goal, NULL without a conversion.

    Args:
        duck: A database with the tables ``facts`` and ``labels``.
        conversion: From where to where.
    """
    find_conversions(duck, conversion)
    duck.execute(
        f"""
        CREATE VIEW delays AS SELECT person, coalesce(label, '{NONE}') AS "group", goal_t - people.t AS took
        FROM people LEFT JOIN labels USING (person)
        """
    )


def summarize_delays(duck: "DuckDBPyConnection") -> "pl.DataFrame":
    """Summarize the view ``delays`` for each group.

    Returns:
        ``group``, ``people``, ``converted``, ``share`` (0 to 1), and the quantiles of the delay in seconds:
        ``quarter``, ``median``, ``three_quarters``, ``nine_in_ten`` (Int64, NULL if no person converts).
    """
    return query_frame(
        duck,
        """
        SELECT "group", count(*) AS people, count(took) AS converted, count(took) / count(*) AS share,
            quantile_disc(took, 0.25) AS quarter, quantile_disc(took, 0.5) AS median,
            quantile_disc(took, 0.75) AS three_quarters, quantile_disc(took, 0.9) AS nine_in_ten
        FROM delays GROUP BY "group" ORDER BY people DESC, "group"
        """,
    )


def conversion_curve(duck: "DuckDBPyConnection") -> "pl.DataFrame":
    """Compute the share of people that converted, by the time since the start, from the view ``delays``.

    Returns:
        ``group``, ``seconds``, ``share`` (0 to 1): up to `POINTS_PER_CURVE` rows for each group.
    """
    return query_frame(
        duck,
        f"""
        WITH points AS (
            SELECT "group", took, count(*) OVER (PARTITION BY "group" ORDER BY took) AS reached,
                ntile({POINTS_PER_CURVE}) OVER (PARTITION BY "group" ORDER BY took) AS point
            FROM delays WHERE took IS NOT NULL
        ),
        sizes AS (SELECT "group", count(*) AS people FROM delays GROUP BY "group")
        SELECT "group", max(took) AS seconds, max(reached) / any_value(people) AS share
        FROM points JOIN sizes USING ("group") GROUP BY "group", point ORDER BY "group", seconds, share
        """,
    )
