"""Tables as charts, of retention and of lifetime value: cohorts as rows, periods as columns."""

from datetime import datetime
from typing import TYPE_CHECKING

from kmdb_dagster.charts.axes import add_axes, add_left_label, add_note, add_nothing_note
from kmdb_dagster.charts.labels import fit_label
from kmdb_dagster.charts.palette import FAINT, amount_colour, ink_on

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

MAX_COHORTS = 30
"""The latest ones are drawn."""
SHORTER_THAN_A_DAY = ("second", "seconds", "minute", "minutes", "hour", "hours")
MAX_WRITTEN_PERIODS = 16
"""With more periods, the cells have no room for their shares as text."""


def draw_lifetime(figure: "Figure", frame: "pl.DataFrame", period_text: str) -> None:
    """Draw a cell for each cohort or group and period, lighter the more a person is worth at its end.

    Args:
        figure: Receives the chart.
        frame: ``cohort`` (its first second, UTC) or ``group``, ``people``, ``period`` (from 1), ``per_person``.
        period_text: The length of a period: ``30 days``.
    """
    name = "cohort" if "cohort" in frame.columns else "group"
    rows = frame[name].unique(maintain_order=True).to_list()[-MAX_COHORTS:]
    periods = max(frame["period"], default=1)
    axes = add_axes(figure, max(0.31 * len(rows), 0.4), left=2.1, bottom=0.2)
    largest = max(frame["per_person"].abs(), default=0) or 1.0
    for row in frame.filter(frame[name].is_in(rows)).iter_rows(named=True):
        y, x = rows.index(row[name]), row["period"] - 1
        shade = amount_colour(max(row["per_person"], 0) / largest)
        axes.barh(y, 0.96, 0.92, left=x + 0.02, color=shade)
        if periods <= MAX_WRITTEN_PERIODS:
            text = f"{row['per_person']:,.2f}" if largest < 1000 else f"{row['per_person']:,.0f}"
            axes.text(x + 0.5, y, text, ha="center", va="center", color=ink_on(shade), size=8.5)
        if x == 0:
            label = _cohort_text(row[name], period_text) if name == "cohort" else fit_label(row[name], 1.3)
            add_left_label(axes, y, f"{label}   {row['people']:>6,}")
    if frame.is_empty():
        add_nothing_note(axes, f"no {name} is observed long enough in this span")
    ticks = range(1, periods + 1, max(1, periods // 12))
    axes.set(xlim=(0, max(periods, 6)), ylim=(max(len(rows), 1) - 0.5, -0.5), yticks=[])
    axes.set_xticks([x - 0.5 for x in ticks], [str(x) for x in ticks])
    axes.xaxis.tick_top()
    add_note(axes, f"{name}   people", (0, 1), (-8, 6))
    add_note(axes, f"value of a person, by number of periods of {period_text} after the first event", (1, 0), (0, -14))


def _cohort_text(cohort: datetime, period_text: str) -> str:
    return f"{cohort:%Y-%m-%d}" if not period_text.endswith(SHORTER_THAN_A_DAY) else f"{cohort:%Y-%m-%d %H:%M}"


def draw_retention(figure: "Figure", frame: "pl.DataFrame", period_text: str) -> None:
    """Draw a cell for each cohort and period, lighter the more people came back, and each cohort's size at its left.

    Period 0 is grey: most people do more than one thing at a time, so it would outshine the others.

    Args:
        figure: Receives the chart.
        frame: ``cohort`` (its first second, UTC), ``people``, ``period`` (from 0), ``share`` (0 to 1).
        period_text: The length of a period: ``7 days``.
    """
    cohorts = frame["cohort"].unique(maintain_order=True).to_list()[-MAX_COHORTS:]
    periods = max(frame["period"], default=0) + 1
    axes = add_axes(figure, max(0.31 * len(cohorts), 0.4), left=2.1, bottom=0.2)
    largest = max(frame.filter(frame["period"] > 0)["share"], default=0) or 1.0
    for row in frame.filter(frame["cohort"].is_in(cohorts)).iter_rows(named=True):
        y, period = cohorts.index(row["cohort"]), row["period"]
        shade = FAINT if period == 0 else amount_colour(row["share"] / largest)
        axes.barh(y, 0.96, 0.92, left=period + 0.02, color=shade)
        if periods <= MAX_WRITTEN_PERIODS:
            text = f"{100 * row['share']:.0f}"
            axes.text(period + 0.5, y, text, ha="center", va="center", color=ink_on(shade), size=8.5)
        if period == 0:
            add_left_label(axes, y, f"{_cohort_text(row['cohort'], period_text)}   {row['people']:>6,}")
    if frame.is_empty():
        add_nothing_note(axes, "no cohort is observed long enough in this span")
    ticks = range(0, periods, max(1, periods // 12))
    axes.set(xlim=(0, max(periods, 6)), ylim=(max(len(cohorts), 1) - 0.5, -0.5), yticks=[])
    axes.set_xticks([x + 0.5 for x in ticks], [str(x) for x in ticks])
    axes.xaxis.tick_top()
    add_note(axes, "cohort   people", (0, 1), (-8, 6))
    add_note(axes, f"% back, by number of periods of {period_text} after the first", (1, 0), (0, -14))
