"""Paths: what people do after an event, or on their way from one to another."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from kmdb_dagster.charts import answers
from kmdb_dagster.questions.answer import Answer, percent, unripe
from kmdb_dagster.questions.duck import AFTER, Way, frame_of
from kmdb_dagster.questions.slices import opened, span_of
from kmdb_dagster.questions.span import RECENTLY, When, shifted

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

MOST_PATHS = 12
ARROW = " → "
LONGER = "…"
"""Stands for the events that were left out of a path that is too long."""


@dataclass(frozen=True)
class Paths:
    """The events after a person's first ``start``, up to the first ``goal`` if there is one, for ``within`` seconds."""

    start: str
    goal: str | None = None
    within: int = 86_400
    without: tuple[str, ...] = ()
    """Events that are passed over."""
    longest: int = 5
    """Events of a path, the first and the goal included."""
    when: When = RECENTLY

    def ask(self, engine: Engine) -> Answer:
        """Ask the database."""
        span = span_of(engine, self.when)
        last = shifted(span.until, self.within)
        with opened(engine) as found:
            start, *goal = found.keys([self.start, self.goal] if self.goal else [self.start])
            without = found.keys(self.without)
            found.take_events([], span.since, last, of=goal[0] if goal else start, without=without)
            counts = ways(found.duck, Way(start, goal[0] if goal else None, self.within, span.end), self.longest)
            found.name_all({name for path in counts["path"].to_list() for name in path if name is not None})
            frame = _named(counts, found.names)
        top = frame.row(0, named=True) if len(frame) else None
        return Answer(
            question=f"From {self.start} to {self.goal}" if self.goal else f"After {self.start}",
            finding=f"{percent(top['people'], top['of'])} of {top['of']:,} people take the most frequent way."
            if top
            else "Nobody.",
            number=top["of"] if top else 0,
            span=span,
            frame=frame.drop("of"),
            sql=tuple(found.statements),
            caveats=("An event that follows itself counts once.", *unripe(span, self.within)),
            draw=lambda figure: answers.paths(figure, frame, _steps(counts, found.names)),
        )


def ways(duck: "DuckDBPyConnection", way: Way, longest: int) -> "pl.DataFrame":
    """The paths that most people take.

    Args:
        duck: with the table ``facts``.
        way: from where to where; a person has one path. Without a goal, everything for so long.
        longest: names in a path. In place of what a longer one has before its goal, or at its end, stands NULL.

    Returns:
        ``path`` (a list of names), ``people``, ``share``, and ``of``: of how many people. With a goal, only people
        who reach it.
    """
    the_last = "OR from_end = 1" if way.goal else ""
    that_arrive = f"HAVING count(*) > 1 AND max_by(name, place) = {way.goal}" if way.goal else ""
    return frame_of(
        duck,
        f"""
        WITH after AS (
            SELECT f.*, sum((f.name = {way.goal or 0} AND f.id <> s.id)::INT) OVER (
                PARTITION BY person ORDER BY f.t, f.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS goals
            FROM facts f JOIN ({way.started()}) s USING (person)
            WHERE (f.id = s.id OR {AFTER}) AND f.t <= s.t + {way.within}
        ),
        changes AS (
            SELECT *, lag(name) OVER (PARTITION BY person ORDER BY t, id) IS DISTINCT FROM name AS new
            FROM after WHERE coalesce(goals, 0) = 0
        ),
        numbered AS (
            SELECT *, row_number() OVER (PARTITION BY person ORDER BY t, id) AS place,
                row_number() OVER (PARTITION BY person ORDER BY t DESC, id DESC) AS from_end
            FROM changes WHERE new
        ),
        one_each AS (
            SELECT person, list(if(place < {longest} OR from_end = 1, name, NULL) ORDER BY place) AS path
            FROM numbered WHERE place <= {longest} {the_last} GROUP BY person {that_arrive}
        )
        SELECT path, count(*) AS people, count(*) / sum(count(*)) OVER () AS share, sum(count(*)) OVER ()::BIGINT AS of
        FROM one_each GROUP BY path ORDER BY people DESC, path LIMIT {MOST_PATHS}
        """,
    )


def _steps(counts: "pl.DataFrame", names: dict[int, str]) -> list[list[str]]:
    """The names of the events of each path."""
    return [[LONGER if name is None else names[name] for name in path] for path in counts["path"].to_list()]


def _named(counts: "pl.DataFrame", names: dict[int, str]) -> "pl.DataFrame":
    import polars as pl

    words = [ARROW.join(map(_apart, path)) for path in _steps(counts, names)]
    return counts.with_columns(pl.Series("path", words, pl.String))


def _apart(name: str) -> str:
    """A name in quotes if it looks like two."""
    return f"“{name}”" if ARROW.strip() in name else name
