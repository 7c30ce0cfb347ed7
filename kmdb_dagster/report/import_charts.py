"""The charts of an import report, as one Markdown text with the pictures in it."""

from collections.abc import Sequence

from kmdb_dagster.report.figures import Run, lag, people_over_time, per_day, share_per_day, speed, times_of
from kmdb_dagster.warehouse.ledger.history import FirstSeen, History


def draw_import(history: History, first_seen: FirstSeen, runs: Sequence[Run]) -> str:
    """Draw lines a day, rejected lines, people, the age of the newest fact, and the speed of runs."""
    # matplotlib takes half a second to import: only a report needs it.
    from kmdb_dagster.charts import report  # noqa: PLC0415

    times = times_of(history)
    return report.markdown(
        [
            report.Chart("Lines a day, by the time of the facts", per_day(times, history.lines), report.amounts),
            report.Chart(
                "Rejected lines, percent of each day's",
                share_per_day(times, history.rejected, history.lines),
                report.shares,
            ),
            report.Chart("People so far, by their first fact", people_over_time(first_seen, times), report.growth),
            report.Chart(
                "Age of the newest fact, whenever a revision came in", lag(times, history.imported_at), report.lags
            ),
            report.Chart("Rows a second, of each import run at its end", speed(history, runs), report.points),
        ]
    )
