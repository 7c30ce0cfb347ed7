"""Time to convert: how long people take from one event to another."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from kmdb_dagster.charts import answers
from kmdb_dagster.questions.answer import Answer, percent, total, unripe
from kmdb_dagster.questions.duck import NONE, Way, fold, frame_of, go
from kmdb_dagster.questions.slices import opened, span_of
from kmdb_dagster.questions.span import RECENTLY, When, in_words, rounded, shifted

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

POINTS = 200
"""Of a curve."""


@dataclass(frozen=True)
class Delay:
    """From a person's first ``start`` in the span to the first ``goal`` after it, at most ``within`` seconds later."""

    start: str
    goal: str
    within: int
    by: str | None = None
    when: When = RECENTLY

    def ask(self, engine: Engine) -> Answer:
        """Ask the database."""
        span = span_of(engine, self.when)
        last = shifted(span.until, self.within)
        with opened(engine) as found:
            start, goal = found.keys([self.start, self.goal])
            found.take_events([start, goal], span.since, last)
            found.take_labels(self.by, span.since, last)
            fold(found.duck)
            measure(found.duck, Way(start, goal, self.within, span.end))
            frame, curve = summary(found.duck), growth(found.duck)
        people, converted = total(frame["people"]), total(frame["converted"])
        middle = frame.select("median", "converted").drop_nulls().sort("converted").tail(1)["median"]
        return Answer(
            question=f"From {self.start} to {self.goal}" + (f", by {self.by}" if self.by else ""),
            finding=f"{percent(converted, people)} of {people:,} people get there within {in_words(self.within)}"
            + (f", half of them within {rounded(middle[0])}." if len(middle) and not self.by else "."),
            number=converted / people if people else None,
            span=span,
            frame=frame if self.by else frame.drop("group"),
            sql=tuple(found.statements),
            caveats=unripe(span, self.within),
            draw=lambda figure: answers.delay(figure, frame, curve),
        )


def measure(duck: "DuckDBPyConnection", way: Way) -> None:
    """Make the view ``delays (person, group, took)``: seconds; NULL for who does not get there.

    Args:
        duck: with the tables ``facts`` and ``labels``.
        way: from where to where.
    """
    go(duck, way)
    duck.execute(
        f"""
        CREATE VIEW delays AS SELECT person, coalesce(label, '{NONE}') AS "group", goal_t - people.t AS took
        FROM people LEFT JOIN labels USING (person)
        """
    )


def summary(duck: "DuckDBPyConnection") -> "pl.DataFrame":
    """Of ``delays``, for each group: people, converted, share, and the seconds that quarters and nine in ten took."""
    return frame_of(
        duck,
        """
        SELECT "group", count(*) AS people, count(took) AS converted, count(took) / count(*) AS share,
            quantile_disc(took, 0.25) AS quarter, quantile_disc(took, 0.5) AS median,
            quantile_disc(took, 0.75) AS three_quarters, quantile_disc(took, 0.9) AS nine_in_ten
        FROM delays GROUP BY "group" ORDER BY people DESC, "group"
        """,
    )


def growth(duck: "DuckDBPyConnection") -> "pl.DataFrame":
    """Of ``delays``, for each group: the share of its people that is there after so many ``seconds``."""
    return frame_of(
        duck,
        f"""
        WITH points AS (
            SELECT "group", took, count(*) OVER (PARTITION BY "group" ORDER BY took) AS there,
                ntile({POINTS}) OVER (PARTITION BY "group" ORDER BY took) AS point
            FROM delays WHERE took IS NOT NULL
        ),
        sizes AS (SELECT "group", count(*) AS people FROM delays GROUP BY "group")
        SELECT "group", max(took) AS seconds, max(there) / any_value(people) AS share
        FROM points JOIN sizes USING ("group") GROUP BY "group", point ORDER BY "group", seconds, share
        """,
    )
