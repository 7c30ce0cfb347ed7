"""How many people go through steps in their order, and where the others stop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from kmdb_dagster.charts import answers
from kmdb_dagster.questions.answer import Answer, percent, total, unripe
from kmdb_dagster.questions.duck import NONE, fold, frame_of
from kmdb_dagster.questions.slices import opened, span_of
from kmdb_dagster.questions.span import RECENTLY, When, in_words, shifted

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

BEFORE = "OVER (PARTITION BY person ORDER BY t, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"


@dataclass(frozen=True)
class Funnel:
    """Who did the first step in the span, and then the others, in this order, all within ``within`` seconds."""

    steps: tuple[str, ...]
    within: int
    by: str | None = None
    when: When = RECENTLY

    def ask(self, engine: Engine) -> Answer:
        """Ask the database."""
        span = span_of(engine, self.when)
        last = shifted(span.until, self.within)
        with opened(engine) as found:
            steps = found.keys(self.steps)
            found.take_events(steps, span.since, last)
            found.take_labels(self.by, span.since, last)
            fold(found.duck)
            frame = with_shares(passed(found.duck, steps, self.within, span.end), self.steps)
        first, final = (total(frame.filter(frame["step"] == step)["people"]) for step in (1, len(self.steps)))
        return Answer(
            question=f"{' → '.join(self.steps)} within {in_words(self.within)}"
            + (f", by {self.by}" if self.by else ""),
            finding=f"{percent(final, first)} of {first:,} people get to the end.",
            number=final / first if first else None,
            span=span,
            frame=frame if self.by else frame.drop("group"),
            sql=tuple(found.statements),
            caveats=unripe(span, self.within),
            draw=lambda figure: answers.funnel(figure, frame),
        )


def passed(duck: "DuckDBPyConnection", steps: Sequence[int], within: int, end: int) -> "pl.DataFrame":
    """How many people of each group get to each step.

    A person gets to a step if there are events of all steps up to it, one after the other, of which the last is at
    most ``within`` seconds after the first, and the first before the second ``end``. Each event carries the latest
    beginning of such a chain that it continues; the latest leaves the most time.

    Args:
        duck: with the tables ``facts`` and ``labels``.
        steps: the name of each step as in ``facts``. A name may come twice.
        within: seconds.
        end: seconds since 1970.

    Returns:
        ``group``, ``step`` (from 1), ``people``.
    """
    chain = f"SELECT *, CASE WHEN name = {steps[0]} AND t < {end} THEN t END AS s1 FROM facts"
    for step, name in enumerate(steps[1:], 2):
        began = f"max(s{step - 1}) {BEFORE}"
        chain = (
            f"SELECT *, CASE WHEN name = {name} AND t - {began} <= {within} THEN {began} END AS s{step} FROM ({chain})"
        )
    reached = ", ".join(f"max(s{step}) AS s{step}" for step in range(1, len(steps) + 1))
    counted = ", ".join(f"count(s{step}) AS '{step}'" for step in range(1, len(steps) + 1))
    return frame_of(
        duck,
        f"""
        WITH people AS (SELECT person, {reached} FROM ({chain}) GROUP BY person HAVING s1 IS NOT NULL),
        wide AS (
            SELECT coalesce(label, '{NONE}') AS "group", {counted}
            FROM people LEFT JOIN labels USING (person) GROUP BY ALL
        )
        UNPIVOT wide ON COLUMNS(* EXCLUDE "group") INTO NAME step VALUE people
        """,
    )


def with_shares(counts: "pl.DataFrame", names: Sequence[str]) -> "pl.DataFrame":
    """With the names of the steps, and the share of those who did the first step and the one before."""
    import polars as pl

    first = pl.col("people").first().over("group")
    before = pl.col("people").shift(1).over("group")
    return (
        counts.with_columns(pl.col("step").cast(pl.Int64))
        .sort(-pl.col("people").max().over("group"), "group", "step")
        .with_columns(
            event=pl.col("step").map_elements(lambda step: names[step - 1], pl.String),
            of_first=pl.col("people") / first,
            of_step_before=pl.col("people") / before,
        )
        .select("group", "step", "event", "people", "of_first", "of_step_before")
    )
