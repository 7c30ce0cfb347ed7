"""Multivariate analysis: which properties go with conversion when all of them are looked at together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from kmdb_dagster.charts import answers
from kmdb_dagster.questions.answer import Answer, unripe
from kmdb_dagster.questions.duck import NONE, Way, band, fold, frame_of, go
from kmdb_dagster.questions.logistic import CONFIDENCE, Fitted, fit
from kmdb_dagster.questions.slices import opened, span_of
from kmdb_dagster.questions.span import RECENTLY, When, in_words, shifted

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

MOST_VALUES = 8
ENOUGH = 10
"""The usual rule: so many who convert, and who do not, to each value that is estimated."""


@dataclass(frozen=True)
class Drivers:
    """People who did ``start`` in the span; what of ``properties`` goes with ``goal`` within ``within`` seconds."""

    start: str
    goal: str
    properties: tuple[str, ...]
    within: int
    when: When = RECENTLY

    def ask(self, engine: Engine) -> Answer:
        """Ask the database."""
        span = span_of(engine, self.when)
        last = shifted(span.until, self.within)
        with opened(engine) as found:
            start, goal = found.keys([self.start, self.goal])
            found.take_events([start, goal], span.since, last)
            go(found.duck, Way(start, goal, self.within, span.end))
            for place, name in enumerate(self.properties):
                found.take_labels(name, span.since, last, f"labels{place}")
                leave_out_late(found.duck, f"labels{place}", self.within)
                band(found.duck, f"labels{place}")
                fold(found.duck, f"labels{place}", MOST_VALUES)
            counts = patterns(found.duck, self.properties)
        fitted = fit(counts, self.properties)
        return Answer(
            question=f"What goes with “{self.goal}” within {in_words(self.within)} of “{self.start}”?",
            finding=_finding(fitted),
            number=None,
            span=span,
            frame=fitted.frame,
            sql=tuple(found.statements),
            caveats=(*_caveats(fitted), *unripe(span, self.within)),
            draw=lambda figure: answers.drivers(figure, fitted.frame),
        )


def leave_out_late(duck: "DuckDBPyConnection", table: str, within: int) -> None:
    """Leave out values that came with the goal or after it: they would only say that there was one."""
    duck.execute(
        f"""
        DELETE FROM {table} l USING people p WHERE l.person = p.person
            AND (l.t > p.t + {within} OR l.t > p.goal_t OR l.t = p.goal_t AND l.id > p.goal_id)
        """
    )


def patterns(duck: "DuckDBPyConnection", properties: Sequence[str]) -> "pl.DataFrame":
    """How many people have the same values of all properties, and how many of them convert.

    So the size of what is computed with depends on the values, not on the number of people.

    Args:
        duck: with the tables ``people``, ``labels0``, ``labels1``, …, one for each property.
        properties: their names.

    Returns:
        A column of each property, ``people``, ``converted``.
    """
    values = ", ".join(f"coalesce(labels{at}.label, '{NONE}') AS v{at}" for at in range(len(properties)))
    joins = " ".join(f"LEFT JOIN labels{at} USING (person)" for at in range(len(properties)))
    counts = f"SELECT {values}, count(*) AS people, count(goal_t) AS converted FROM people {joins}"
    frame = frame_of(duck, f"{counts} GROUP BY ALL ORDER BY ALL")
    return frame.rename({f"v{at}": name for at, name in enumerate(properties)})


def _finding(fitted: Fitted) -> str:
    clear = fitted.frame.filter((fitted.frame["p"] < 1 - CONFIDENCE).fill_null(value=False)).sort("p")
    if clear.is_empty():
        return "No value goes with it clearly."
    row = clear.row(0, named=True)
    return (
        f"Most clearly {row['property']} = {row['value']}: odds {row['odds']:.2f} times as high "
        f"(95 % interval {row['odds_low']:.2f} to {row['odds_high']:.2f})."
    )


def _caveats(fitted: Fitted) -> tuple[str, ...]:
    frame = fitted.frame
    said = [
        "What goes with conversion need not cause it: people who want it anyway may come by another way.",
        f"{fitted.tests} values are tested: the p-values are Holm's, the intervals are each for itself.",
        "A value counts if it was set before the goal; who converts late has had more time to get one.",
    ]
    if fitted.fewest < ENOUGH * fitted.tests:
        said.append(f"Only {fitted.fewest:,} people convert (or do not) for {fitted.tests} values: too few to be sure.")
    if fitted.separated:
        said.append(
            f"{fitted.separated} values with which all or none convert have no odds; their people are left out."
        )
    if fitted.dropped:
        said.append(f"{fitted.dropped} values say the same as others together; they have no odds of their own.")
    if len(frame) > 40:
        said.append("Many values: look at few properties at a time.")
    return tuple(said)
