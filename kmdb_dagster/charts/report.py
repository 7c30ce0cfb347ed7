"""The pictures of a report, as PNG. One look for all: a title that says what and in which unit, one colour, no frame.

The colours are Okabe and Ito's, which the colour-blind can tell apart.
"""

import base64
import io
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DayLocator
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from kmdb_dagster.report.figures import Series

BLUE, ORANGE, GREEN, INK, PALE = "#0072B2", "#D55E00", "#009E73", "#333333", "#DDDDDD"
INCHES, DPI = (8.4, 2.5), 110
MOST_BARS = 120
"""More are an area."""
MOST_NAMED_DAYS = 10
MOST_DOTS = 40
"""A line through more has none."""

YEAR = 8766
LAGS = {
    1: "1 hour",
    12: "12 hours",
    24: "1 day",
    168: "1 week",
    720: "1 month",
    YEAR // 4: "3 months",
    YEAR: "1 year",
    3 * YEAR: "3 years",
    10 * YEAR: "10 years",
    30 * YEAR: "30 years",
}
"""Hours."""


class Chart(NamedTuple):
    """A picture to be made."""

    title: str
    series: Series
    draw: Callable[[Axes, Series], None]


def amounts(axes: Axes, series: Series) -> None:
    """Sums of days."""
    days = series.at.astype("M8[D]")
    if len(days) <= MOST_BARS:
        axes.bar(days.astype(object), series.value, width=0.8, color=BLUE, align="center")
    else:
        axes.fill_between(days.astype(object), series.value, color=BLUE, linewidth=0, step="mid")
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def shares(axes: Axes, series: Series) -> None:
    """Percents."""
    axes.plot(series.at.astype(object), series.value, color=ORANGE, linewidth=1.4, marker="o", markersize=_dot(series))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}%")


def growth(axes: Axes, series: Series) -> None:
    """What only rises."""
    axes.plot(series.at.astype(object), series.value, color=GREEN, linewidth=1.8, marker="o", markersize=_dot(series))
    axes.fill_between(series.at.astype(object), series.value, color=GREEN, alpha=0.15, linewidth=0)
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def points(axes: Axes, series: Series) -> None:
    """One for each run."""
    axes.scatter(series.at.astype(object), series.value, s=22, color=BLUE, alpha=0.7, linewidth=0)
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def lags(axes: Axes, series: Series) -> None:
    """Hours, from an hour to years."""
    axes.plot(
        series.at.astype(object),
        np.maximum(series.value, 0.5),
        color=ORANGE,
        linewidth=1.6,
        marker="o",
        markersize=_dot(series),
    )
    axes.set_yscale("log")
    axes.set_yticks(list(LAGS), labels=list(LAGS.values()))
    axes.minorticks_off()
    low, high = max(0.5, series.value.min()), series.value.max()
    axes.set_ylim(
        max((tick for tick in LAGS if tick <= low), default=0.5),
        min((tick for tick in LAGS if tick >= high), default=high * 2),
    )


def markdown(charts: Iterable[Chart]) -> str:
    """The pictures one below the other, for Dagster's UI: they need no file and no server."""
    return "\n\n".join(
        f"![{chart.title}](data:image/png;base64,{base64.b64encode(png(chart)).decode()})" for chart in charts
    )


def png(chart: Chart) -> bytes:
    """One picture; without data it says so."""
    figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(chart.title, loc="left", fontsize=11, color=INK)
    if len(chart.series.at):
        chart.draw(axes, chart.series)
        _plain(axes, chart.series)
    else:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "nothing yet", ha="center", color=INK, transform=axes.transAxes)
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()


def _plain(axes: Axes, series: Series) -> None:
    if len(series.at) == 1:
        day = np.timedelta64(1, "D")
        axes.set_xlim((series.at[0] - day).astype(object), (series.at[0] + day).astype(object))
    few_days = series.at.dtype == "M8[D]" and len(series.at) <= MOST_NAMED_DAYS
    # No hours between two days.
    locator = DayLocator() if few_days else AutoDateLocator(minticks=min(3, len(series.at)), maxticks=8)  # type: ignore[no-untyped-call]  # published without types
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # as above
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(PALE)
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    axes.grid(axis="y", color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(4))


def _dot(series: Series) -> float:
    return 4 if len(series.at) <= MOST_DOTS else 0
