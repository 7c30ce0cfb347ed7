"""Paths: which events people do after a start, or between a start and a goal."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from kmdb_dagster.charts.number_text import percent
from kmdb_dagster.charts.step_charts import ELLIPSIS, draw_paths
from kmdb_dagster.questions.answer import Answer, short_observation_caveat
from kmdb_dagster.questions.conversions import IS_LATER, Conversion
from kmdb_dagster.questions.slices import open_slice, query_frame, resolve_span
from kmdb_dagster.questions.span import RECENTLY, When, shift

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

MAX_PATHS = 12
ARROW = " → "


@dataclass(frozen=True)
class Paths:
    """The events after a person's first ``start``, up to the first ``goal`` if there is one, for ``within`` seconds."""

    start: str
    goal: str | None = None
    within: int = 86_400
    without: tuple[str, ...] = ()
    """Events to skip."""
    longest: int = 5
    """Maximum number of events in a path, including start and goal."""
    when: When = RECENTLY

    def ask(self, engine: Engine) -> Answer:
        """Load the slice, compute the frame, and return the answer."""
        span = resolve_span(engine, self.when)
        last = shift(span.until, self.within)
        with open_slice(engine) as slice_:
            start, *goal = slice_.name_ids([self.start, self.goal] if self.goal else [self.start])
            without = slice_.name_ids(self.without)
            slice_.take_events([], span.since, last, people_with=goal[0] if goal else start, without=without)
            counts = count_paths(
                slice_.duck, Conversion(start, goal[0] if goal else None, self.within, span.end), self.longest
            )
            slice_.look_up_names({name for path in counts["path"].to_list() for name in path if name is not None})
            frame = _named(counts, slice_.names)
        top = frame.row(0, named=True) if len(frame) else None
        return Answer(
            question=f"From {self.start} to {self.goal}" if self.goal else f"After {self.start}",
            finding=f"{percent(top['people'], top['of'])} of {top['of']:,} people take the most frequent path."
            if top
            else "No person took any path.",
            number=top["of"] if top else 0,
            span=span,
            frame=frame.drop("of"),
            sql=tuple(slice_.statements),
            caveats=("Consecutive events of the same name count once.", *short_observation_caveat(span, self.within)),
            draw=lambda figure: draw_paths(figure, frame, _path_names(counts, slice_.names)),
        )


def count_paths(duck: "DuckDBPyConnection", conversion: Conversion, longest: int) -> "pl.DataFrame":
    """Count people for each path, and return the most frequent paths.

    Args:
        duck: A database with the table ``facts``.
        conversion: From where to where; a person has one path. Without a goal, the path has all events in time.
        longest: Names in a path, at least 2. Events that exceed it are replaced by one NULL, before the goal if any.

    Returns:
        ``path`` (list of name ids), ``people``, ``share`` (0 to 1), and ``of``: the people of all paths. With a goal,
        only people who reach it are counted.
    """
    or_last = "OR from_end = 1" if conversion.goal else ""
    if_reached = f"HAVING count(*) > 1 AND max_by(name, place) = {conversion.goal}" if conversion.goal else ""
    return query_frame(
        duck,
        f"""
        WITH after AS (
            SELECT f.*, sum((f.name = {conversion.goal or 0} AND f.id <> s.id)::INT) OVER (
                PARTITION BY person ORDER BY f.t, f.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS goals
            FROM facts f JOIN ({conversion.starts_sql()}) s USING (person)
            WHERE (f.id = s.id OR {IS_LATER}) AND f.t <= s.t + {conversion.within}
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
            FROM numbered WHERE place <= {longest} {or_last} GROUP BY person {if_reached}
        )
        SELECT path, count(*) AS people, count(*) / sum(count(*)) OVER () AS share, sum(count(*)) OVER ()::BIGINT AS of
        FROM one_each GROUP BY path ORDER BY people DESC, path LIMIT {MAX_PATHS}
        """,
    )


def _path_names(counts: "pl.DataFrame", names: dict[int, str]) -> list[list[str]]:
    """Return the names of the events of each path."""
    return [[ELLIPSIS if name is None else names[name] for name in path] for path in counts["path"].to_list()]


def _named(counts: "pl.DataFrame", names: dict[int, str]) -> "pl.DataFrame":
    import polars as pl

    texts = [ARROW.join(map(_quote_arrow, path)) for path in _path_names(counts, names)]
    return counts.with_columns(pl.Series("path", texts, pl.String))


def _quote_arrow(name: str) -> str:
    """Put a name in quotes if it contains an arrow, so that it does not read as two names."""
    return f"“{name}”" if ARROW.strip() in name else name
