"""Histograms: how many people did something how many times. Computed in DuckDB, from the table ``done``.

``done (person, group, times)`` has a row for each person who counts.
"""

from typing import TYPE_CHECKING

from kmdb_dagster.questions.slices import query_frame

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection


def count_times(duck: "DuckDBPyConnection", lowest: int, highest: int) -> "pl.DataFrame":
    """Count the people of each group by how many times they did it.

    Args:
        duck: A database with the table ``done``.
        lowest: The first row of each group.
        highest: The last row at most. It counts people with more times too, and is written with a plus sign.

    Returns:
        ``group``, ``of`` (its people), ``average`` (times of a person), ``times`` (text, without gaps), ``people``,
        ``share`` and ``at_least`` (of the group, 0 to 1): who did it so often, and so often or more. The largest
        group is first.
    """
    return query_frame(
        duck,
        f"""
        WITH sizes AS (SELECT "group", count(*) AS of, avg(times) AS average FROM done GROUP BY "group"),
        counted AS (
            SELECT "group", least(times, {highest}) AS times, count(*) AS people FROM done GROUP BY ALL
        ),
        grid AS (
            SELECT s.*, r.times FROM sizes s, range({lowest}, {highest} + 1) r(times)
            WHERE r.times <= (SELECT max(times) FROM counted)
        )
        SELECT "group", of, average, if(times = {highest}, times || '+', times::VARCHAR) AS times,
            coalesce(people, 0) AS people, coalesce(people, 0) / of AS share,
            sum(coalesce(people, 0)) OVER (PARTITION BY "group" ORDER BY grid.times DESC) / of AS at_least
        FROM grid LEFT JOIN counted USING ("group", times)
        ORDER BY of DESC, "group", grid.times
        """,
    )
