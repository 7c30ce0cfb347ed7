"""Paths: which events people do after a start, or between a start and a goal."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from kmdb_dagster.charts.number_text import percent
from kmdb_dagster.charts.step_charts import ELLIPSIS, draw_paths
from kmdb_dagster.questions.conversions import IS_LATER, Conversion
from kmdb_dagster.questions.question import ARROW, Question, Result, join_steps, nobody_did
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

    @property
    def people_columns(self) -> tuple[str, ...]:
        """The columns that say in which numbers of the answer a person counts."""
        return ("path",)

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
            members=_members_sql(slice_, conversion, self.longest),
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
    return query_frame(
        duck,
        f"""
        SELECT path, count(*) AS people, count(*) / sum(count(*)) OVER () AS share, sum(count(*)) OVER ()::BIGINT AS of
        FROM ({paths_sql(conversion, longest)}) GROUP BY path ORDER BY people DESC, path LIMIT {MAX_PATHS}
        """,
    )


def paths_sql(conversion: Conversion, longest: int) -> str:
    """Return a query for the path of each person: ``person, path`` (see `count_paths`)."""
    or_last = "OR from_end = 1" if conversion.goal else ""
    if_reached = f"HAVING count(*) > 1 AND max_by(name, place) = {conversion.goal}" if conversion.goal else ""
    return f"""
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
        )
        SELECT person, list(if(place < {longest} OR from_end = 1, name, NULL) ORDER BY place) AS path
        FROM numbered WHERE place <= {longest} {or_last} GROUP BY person {if_reached}
    """


def _members_sql(slice_: Slice, conversion: Conversion, longest: int) -> str:
    """Return a query for the people, each with a path as the answer shows it: names joined by arrows."""
    if not slice_.needs_people:
        return ""
    paths = paths_sql(conversion, longest)
    steps = f"SELECT person, unnest(path) AS name, generate_subscripts(path, 1) AS place FROM ({paths})"
    slice_.look_up_names([row[0] for row in slice_.duck.sql("SELECT DISTINCT name FROM facts").fetchall()])
    shown = {number: join_steps([name]) for number, name in slice_.names.items()}
    slice_.put("names", pa.table({"name": pa.array(shown, pa.int64()), "shown": [*shown.values()]}))
    return f"""
        SELECT person, string_agg(coalesce(shown, '{ELLIPSIS}'), '{ARROW}' ORDER BY place) AS path
        FROM ({steps}) LEFT JOIN names USING (name) GROUP BY person
    """


def _path_names(counts: "pl.DataFrame", names: dict[int, str]) -> list[list[str]]:
    """Return the names of the events of each path."""
    return [[ELLIPSIS if name is None else names[name] for name in path] for path in counts["path"].to_list()]


def _named(counts: "pl.DataFrame", names: dict[int, str]) -> "pl.DataFrame":
    import polars as pl

    texts = [join_steps(path) for path in _path_names(counts, names)]
    return counts.with_columns(pl.Series("path", texts, pl.String))
