"""The charts of an import report, as one Markdown text with the images in it."""

from collections.abc import Sequence

from kmdb_dagster.report.figures import Run, lag, people_over_time, per_day, revision_times, share_per_day, speed
from kmdb_dagster.warehouse.ledger.history import FirstSeen, History


def draw_import(history: History, first_seen: FirstSeen, runs: Sequence[Run]) -> str:
    """Draw lines a day, rejected lines, people, the age of the newest fact, and the speed of runs.

    Args:
        history: The ledger's numbers of each revision.
        first_seen: New people of each week.
        runs: The latest import runs.

    Returns:
        Markdown with the images inside.
    """
    # matplotlib takes half a second to import: only a report needs it.
    from kmdb_dagster.charts.series_charts import (  # noqa: PLC0415
        Chart,
        draw_daily_sums,
        draw_growth,
        draw_lag,
        draw_percentages,
        draw_points,
        markdown,
    )

    times = revision_times(history)
    rejected = share_per_day(times, history.rejected, history.lines)
    return markdown(
        [
            Chart("Lines a day, by the time of the facts", per_day(times, history.lines), draw_daily_sums),
            Chart("Rejected lines, percent of each day's", rejected, draw_percentages),
            Chart("People so far, by their first fact", people_over_time(first_seen, times), draw_growth),
            Chart("Age of the newest fact at each import", lag(times, history.imported_at), draw_lag),
            Chart("Rows a second of each import run, at its end", speed(history, runs), draw_points),
        ]
    )
