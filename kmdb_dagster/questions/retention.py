"""Retention: of those who did something for the first time, how many come back, and when."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from kmdb_dagster.charts import answers
from kmdb_dagster.questions.answer import Answer, percent, total
from kmdb_dagster.questions.duck import AFTER, Way, frame_of
from kmdb_dagster.questions.slices import opened, span_of
from kmdb_dagster.questions.span import RECENTLY, Span, When, in_words

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Retention:
    """Cohorts by the first ``start`` in the span; who did ``back`` (anything, if it is not named) in which period."""

    start: str
    back: str | None = None
    every: int | None = None
    """Seconds of a period, and of a cohort."""
    when: When = RECENTLY

    def ask(self, engine: Engine) -> Answer:
        """Ask the database."""
        span = span_of(engine, self.when)
        every = self.every or span.pieces()
        with opened(engine) as found:
            start, *back = found.keys([self.start, self.back] if self.back else [self.start])
            found.take_events([start, *back] if back else [], span.since, span.until, of=None if back else start)
            frame = cohorts(found.duck, start, back[0] if back else None, every, span)
        first = frame.filter(frame["period"] == 1)
        people, came_back = total(first["people"]), total(first["back"])
        again = f"“{self.back}”" if self.back else "anything"
        length = in_words(every)
        return Answer(
            question=f"Who does {again} again after a first “{self.start}”, in periods of {length}",
            finding=_finding(people, came_back, length),
            number=came_back / people if people else None,
            span=span,
            frame=frame,
            sql=tuple(found.statements),
            caveats=(
                "The first time is the first in the span: who had come before it counts as new.",
                "A period is left out until everybody of the cohort has had all of it.",
            ),
            draw=lambda figure: answers.retention(figure, frame, length),
        )


def cohorts(duck: "DuckDBPyConnection", start: int, back: int | None, every: int, span: Span) -> "pl.DataFrame":
    """How many people of each cohort came back in each period after their own first time.

    Period 0 is the ``every`` seconds from that first event on, without the event itself.

    Args:
        duck: with the table ``facts``.
        start: the name that begins; who did it first in the same piece of the span is a cohort.
        back: the name that counts as coming back; None: any.
        every: seconds of a period, and of a cohort.
        span: what is asked about, and until when everything is known.

    Returns:
        ``cohort`` (its first second), ``people``, ``period``, ``back``, ``share``. A period is left out until all of
        the cohort have had the whole of it.
    """
    end = min(span.end, span.known_end())
    return frame_of(
        duck,
        f"""
        WITH born AS (
            SELECT *, (t - {span.start}) // {every} AS cohort FROM ({Way(start, None, 0, span.end).started()})
        ),
        sizes AS (SELECT cohort, count(*) AS people FROM born GROUP BY cohort),
        seen AS (
            SELECT cohort, (f.t - s.t) // {every} AS period, count(DISTINCT person) AS back
            FROM facts f JOIN born s USING (person)
            WHERE {AFTER} AND {f"f.name = {back}" if back else "true"} GROUP BY ALL
        ),
        whole AS (
            SELECT * FROM sizes, range({(end - span.start) // every}) periods(period)
            WHERE {span.start} + (cohort + period + 2) * {every} <= {end}
        )
        SELECT make_timestamp(({span.start} + cohort * {every}) * 1000000) AS cohort, people, period,
            coalesce(back, 0) AS back, coalesce(back, 0) / people AS share
        FROM whole LEFT JOIN seen USING (cohort, period)
        ORDER BY cohort, period
        """,
    )


def _finding(people: int, back: int, length: str) -> str:
    if not people:
        return "No cohort is old enough yet."
    period = length.removeprefix("1 ")
    return f"Of {people:,} people, {percent(back, people)} come back in the {period} after the first."
