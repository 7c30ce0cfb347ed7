"""Charts of a `Series`, for the import report: one look, with a title that names the value and its unit."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from kmdb_dagster.charts.axes import add_date_axis
from kmdb_dagster.charts.images import embed_png, render
from kmdb_dagster.charts.palette import BLUE, FAINT, GREEN, INK, ORANGE
from kmdb_dagster.charts.series import Series

SIZE_INCHES, DPI = (8.4, 2.5), 110
MAX_BARS = 120
"""A longer series is drawn as an area."""
MAX_NAMED_DAYS = 10
"""A longer series has no tick for each day."""
MAX_DOTS = 40
"""A line through more points has no dots."""

HOURS_PER_YEAR = 8766
LAG_TICKS = {
    1: "1 hour",
    12: "12 hours",
    24: "1 day",
    168: "1 week",
    720: "1 month",
    HOURS_PER_YEAR // 4: "3 months",
    HOURS_PER_YEAR: "1 year",
    3 * HOURS_PER_YEAR: "3 years",
    10 * HOURS_PER_YEAR: "10 years",
    30 * HOURS_PER_YEAR: "30 years",
}
"""Hours, and their labels."""


class Chart(NamedTuple):
    """A title, a series, and the function that draws it on axes."""

    title: str
    series: Series
    draw: Callable[[Axes, Series], None]


def draw_daily_sums(axes: Axes, series: Series) -> None:
    """Draw a bar for each day, or an area if there are many days."""
    days = series.at.astype("M8[D]")
    if len(days) <= MAX_BARS:
        axes.bar(days.astype(object), series.value, width=0.8, color=BLUE, align="center")
    else:
        axes.fill_between(days.astype(object), series.value, color=BLUE, linewidth=0, step="mid")
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def draw_percentages(axes: Axes, series: Series) -> None:
    """Draw a line of percentages (0 to 100)."""
    _draw_line(axes, series, ORANGE, 1.4)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}%")


def draw_growth(axes: Axes, series: Series) -> None:
    """Draw a total that only rises, as a line above an area."""
    _draw_line(axes, series, GREEN, 1.8)
    axes.fill_between(series.at.astype(object), series.value, color=GREEN, alpha=0.15, linewidth=0)
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def draw_points(axes: Axes, series: Series) -> None:
    """Draw a dot for each value."""
    axes.scatter(series.at.astype(object), series.value, s=22, color=BLUE, alpha=0.7, linewidth=0)
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def draw_lag(axes: Axes, series: Series) -> None:
    """Draw a line of hours on a logarithmic axis from one hour to years."""
    _draw_line(axes, Series(series.at, np.maximum(series.value, 0.5)), ORANGE, 1.6)
    axes.set_yscale("log")
    axes.set_yticks(list(LAG_TICKS), labels=list(LAG_TICKS.values()))
    axes.minorticks_off()
    low, high = max(0.5, series.value.min()), series.value.max()
    axes.set_ylim(
        max((tick for tick in LAG_TICKS if tick <= low), default=0.5),
        min((tick for tick in LAG_TICKS if tick >= high), default=high * 2),
    )


def markdown(charts: Iterable[Chart]) -> str:
    """Write the charts one below the other as Markdown, for Dagster's UI."""
    return "\n\n".join(embed_png(chart.title, png(chart)) for chart in charts)


def png(chart: Chart) -> bytes:
    """Draw a chart as PNG. Without data it reads ``no data yet``."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(chart.title, loc="left", fontsize=11, color=INK)
    if len(chart.series.at):
        chart.draw(axes, chart.series)
        _style_axes(axes, chart.series)
    else:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no data yet", ha="center", color=INK, transform=axes.transAxes)
    return render(figure)


def _draw_line(axes: Axes, series: Series, colour: str, width: float) -> None:
    dot_size = 4 if len(series.at) <= MAX_DOTS else 0
    axes.plot(series.at.astype(object), series.value, color=colour, linewidth=width, marker="o", markersize=dot_size)


def _style_axes(axes: Axes, series: Series) -> None:
    if len(series.at) == 1:
        day = np.timedelta64(1, "D")
        axes.set_xlim((series.at[0] - day).astype(object), (series.at[0] + day).astype(object))
    few_days = series.at.dtype == "M8[D]" and len(series.at) <= MAX_NAMED_DAYS
    add_date_axis(axes, min_ticks=min(3, len(series.at)), days_only=few_days)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(4))
