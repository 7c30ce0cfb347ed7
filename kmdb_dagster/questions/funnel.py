"""Funnel: how many people go through steps in order, and where the others stop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kmdb_dagster.charts.number_text import describe_duration, percent
from kmdb_dagster.charts.step_charts import draw_funnel
from kmdb_dagster.questions.answer import int_sum
from kmdb_dagster.questions.attribution import Attribution
from kmdb_dagster.questions.groups import NONE, fold_rare_values
from kmdb_dagster.questions.labels import take_labels
from kmdb_dagster.questions.question import Question, Result, join_steps, nobody_did
from kmdb_dagster.questions.slices import Slice, query_frame

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

EARLIER_ROWS = "OVER (PARTITION BY person ORDER BY t, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"


@dataclass(frozen=True)
class Funnel(Question):
    """Who did the first step in the span, then the others in this order, all within ``within`` seconds."""

    steps: tuple[str, ...]
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
        return ("group", "reached", "lost at") if self.by else ("reached", "lost at")

    def compute(self, slice_: Slice) -> Result:
        """Load the slice, and compute the frame."""
        steps = slice_.event_ids(self.steps)
        slice_.take_events(steps)
        take_labels(slice_, self.by, self.attribution, steps[0])
        fold_rare_values(slice_.duck)
        frame = add_shares(count_steps(slice_.duck, steps, self.within, slice_.span.end), self.steps)
        first, final = (int_sum(frame.filter(frame["step"] == step)["people"]) for step in (1, len(self.steps)))
        return Result(
            title=f"{join_steps(self.steps)} within {describe_duration(self.within)}"
            + self.attribution.described(self.by),
            finding=f"{percent(final, first)} of {first:,} people reach the last step."
            if first
            else nobody_did(self.steps[0]),
            number=final / first if first else None,
            frame=frame if self.by else frame.drop("group"),
            members=members_sql(steps, self.within, slice_.span.end),
            draw=lambda figure: draw_funnel(figure, frame),
        )


def count_steps(duck: "DuckDBPyConnection", steps: Sequence[int], within: int, end: int) -> "pl.DataFrame":
    """Count the people of each group that reach each step.

    A person reaches a step with a chain of events: one of each step up to it, in order. The chain starts before ``end``
    and takes at most ``within`` seconds. Each event carries the latest start of the chains that it continues, because
    the latest start leaves the most time.

    Args:
        duck: A database with the tables ``facts`` and ``labels``.
        steps: The id of each step's name, as in ``facts.name``. A name may occur twice.
        within: Seconds allowed from the first step to the last.
        end: Seconds since 1970; chains must start before this second.

    Returns:
        ``group``, ``step`` (text, from 1), ``people``.
    """
    counted = ", ".join(f"count(s{step}) AS '{step}'" for step in range(1, len(steps) + 1))
    return query_frame(
        duck,
        f"""
        WITH people AS ({people_sql(steps, within, end)}),
        wide AS (
            SELECT coalesce(label, '{NONE}') AS "group", {counted}
            FROM people LEFT JOIN labels USING (person) GROUP BY ALL
        )
        UNPIVOT wide ON COLUMNS(* EXCLUDE "group") INTO NAME step VALUE people
        """,
    )


def people_sql(steps: Sequence[int], within: int, end: int) -> str:
    """Return a query for the people who do the first step: ``person``, and ``s1``, ``s2``, …, NULL if not reached.

    Args:
        steps: ``keys.id`` of the event of each step.
        within: Seconds that are allowed between the first step and the last.
        end: The first step is before this second, since 1970.
    """
    chain = f"SELECT *, CASE WHEN name = {steps[0]} AND t < {end} THEN t END AS s1 FROM facts"
    for step, name in enumerate(steps[1:], 2):
        began = f"max(s{step - 1}) {EARLIER_ROWS}"
        chain = (
            f"SELECT *, CASE WHEN name = {name} AND t - {began} <= {within} THEN {began} END AS s{step} FROM ({chain})"
        )
    reached = ", ".join(f"max(s{step}) AS s{step}" for step in range(1, len(steps) + 1))
    return f"SELECT person, {reached} FROM ({chain}) GROUP BY person HAVING s1 IS NOT NULL"


def members_sql(steps: Sequence[int], within: int, end: int) -> str:
    """Return a query for the people of the first step: the last step that they reach, and the step after it.

    Args:
        steps: ``keys.id`` of the event of each step.
        within: Seconds that are allowed between the first step and the last.
        end: The first step is before this second, since 1970.
    """
    reached = " + ".join(f"(s{step} IS NOT NULL)::INT" for step in range(1, len(steps) + 1))
    return f"""
        SELECT person, coalesce(label, '{NONE}') AS "group", {reached} AS reached,
            CASE WHEN reached < {len(steps)} THEN reached + 1 END AS "lost at"
        FROM ({people_sql(steps, within, end)}) LEFT JOIN labels USING (person)
    """


def add_shares(counts: "pl.DataFrame", names: Sequence[str]) -> "pl.DataFrame":
    """Add names and shares to the counts of `count_steps`, the largest group first.

    Args:
        counts: ``group``, ``step``, ``people``.
        names: The name of each step.

    Returns:
        ``group``, ``step`` (Int64, from 1), ``event``, ``people``, ``of_first`` and ``of_step_before`` (0 to 1).
    """
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
