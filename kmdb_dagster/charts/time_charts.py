"""Charts with time on the x axis: a trend, and the curve of a delay."""

from typing import TYPE_CHECKING

from kmdb_dagster.charts.axes import add_axes, add_counts_axis, add_date_axis, add_grid, add_line_names
from kmdb_dagster.charts.labels import NORMAL, fit_label
from kmdb_dagster.charts.number_text import round_duration
from kmdb_dagster.charts.palette import GREY, group_colours

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure


def draw_trend(figure: "Figure", frame: "pl.DataFrame", column: str) -> None:
    """Draw a line for each group, with its name at the end.

    Args:
        figure: Receives the chart.
        frame: ``time`` (UTC), ``group``, and the column to draw.
        column: The column on the y axis, ``events`` or ``people``. NULL is not drawn.
    """
    axes = add_axes(figure, 3.2, left=0.75, right=1.7, bottom=0.45)
    ends: list[tuple[float, str, str]] = []
    for group, shade in group_colours(frame["group"].unique(maintain_order=True).to_list()).items():
        rows = frame.filter((frame["group"] == group) & frame[column].is_not_null())
        if len(rows):
            axes.plot(rows["time"].to_list(), rows[column].to_list(), color=shade, lw=1.8, solid_capstyle="round")
            ends.append((rows[column][-1], group, shade))
    axes.set_ylim(0, None)
    axes.margins(x=0.01)
    add_line_names(axes, ends, 1.55)
    add_grid(axes)
    add_counts_axis(axes, column)
    add_date_axis(axes)


def draw_delay(figure: "Figure", frame: "pl.DataFrame", curve: "pl.DataFrame") -> None:
    """Draw the share of people that reached the goal, by the time since the start; a dot marks the median.

    Args:
        figure: Receives the chart.
        frame: A row for each group: ``group``, ``converted``, ``share`` (0 to 1), ``median`` (seconds).
        curve: The points of each group: ``group``, ``seconds``, ``share`` (0 to 1).
    """
    axes = add_axes(figure, 3.2, left=0.75, right=2.7, bottom=0.6)
    longest = max(curve["seconds"], default=1)
    unit, seconds = _unit_for(longest)
    shades = group_colours(frame["group"].to_list())
    ends: list[tuple[float, str, str]] = []
    for row in frame.filter(frame["converted"] > 0).iter_rows(named=True):
        points, shade = curve.filter(curve["group"] == row["group"]), shades[row["group"]]
        x = [0.0, *(points["seconds"] / seconds), longest / seconds]
        y = [0.0, *(100 * points["share"]), 100 * row["share"]]
        axes.plot(x, y, color=shade, lw=1.8, drawstyle="steps-post")
        axes.plot(row["median"] / seconds, 50 * row["share"], "o", color=shade, ms=6)
        name = f"{fit_label(row['group'], 1.2)}: " if len(frame) > 1 else ""
        ends.append((y[-1], f"{name}half in {round_duration(row['median'])}", shade))
    axes.set_ylim(0, None)
    axes.set_xlim(0, None)
    add_line_names(axes, ends, 2.55)
    add_grid(axes)
    axes.set_xlabel(f"{unit} since the first event", size=NORMAL, color=GREY)
    axes.yaxis.set_major_formatter("{x:g} %")


def _unit_for(longest: float) -> tuple[str, int]:
    """Choose the unit of an axis that ends at ``longest`` seconds: its name, and its seconds."""
    for unit, seconds in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if longest > 2 * seconds:
            return unit, seconds
    return "seconds", 1
