"""Paths: which events people do after a start, or between a start and a goal."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kmdb_dagster.charts.number_text import percent
from kmdb_dagster.charts.step_charts import ELLIPSIS, draw_paths
from kmdb_dagster.questions.conversions import IS_LATER, Conversion
from kmdb_dagster.questions.question import Question, Result, join_steps, nobody_did
from kmdb_dagster.questions.slices import Slice, query_frame

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

MAX_PATHS = 12


@dataclass(frozen=True)
class Paths(Question):
    """The events after a person's first ``start``, up to the first ``goal`` if there is one, for ``within`` seconds."""

    start: str
    goal: str | None = None
    within: int = 86_400
    without: tuple[str, ...] = ()
    """Events to skip."""
    longest: int = 5
    """Maximum number of events in a path, including start and goal."""

    @property
    def reach(self) -> int:
        """Seconds that people are followed after the span."""
        return self.within

    def compute(self, slice_: Slice) -> Result:
        """Load the slice, and compute the frame."""
        start, *goal = slice_.event_ids([self.start, self.goal] if self.goal else [self.start])
        without = slice_.event_ids(self.without)
        slice_.take_events([], people_with=goal[0] if goal else start, without=without)
        conversion = Conversion(start, goal[0] if goal else None, self.within, slice_.span.end)
        counts = count_paths(slice_.duck, conversion, self.longest)
        slice_.look_up_names({name for path in counts["path"].to_list() for name in path if name is not None})
        frame, paths = _named(counts, slice_.names), _path_names(counts, slice_.names)
        top = frame.row(0, named=True) if len(frame) else None
        return Result(
            title=f"From {self.start} to {self.goal}" if self.goal else f"After {self.start}",
            finding=f"{percent(top['people'], top['of'])} of {top['of']:,} people take the most frequent path."
            if top
            else f"No person came from “{self.start}” to “{self.goal}” in this span."
            if self.goal
            else nobody_did(self.start),
            number=top["of"] if top else 0,
            frame=frame.drop("of"),
            caveats=("Consecutive events of the same name count once.",),
            draw=lambda figure: draw_paths(figure, frame, paths),
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

    texts = [join_steps(path) for path in _path_names(counts, names)]
    return counts.with_columns(pl.Series("path", texts, pl.String))
