"""Charts with time on the x axis: a trend, and the curve of a delay."""

from bisect import bisect_left, bisect_right
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple

from kmdb_dagster.charts.axes import (
    add_axes,
    add_counts_axis,
    add_date_axis,
    add_grid,
    add_line_names,
    add_nothing_note,
)
from kmdb_dagster.charts.labels import NORMAL, fit_label
from kmdb_dagster.charts.number_text import round_duration
from kmdb_dagster.charts.palette import GREY, group_colours

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SECONDS_PER_DAY = 86_400
"""Of matplotlib's dates, which are days since 1970."""


class TimeAxis(NamedTuple):
    """The periods of a trend, in seconds since 1970."""

    start: int
    end: int
    """The first second after the span; it may be in the middle of a period."""
    edges: tuple[int, ...]
    """Where periods begin. The first may be before the span; the last is where the last period ends."""
    known_end: int
    """Events from this second on may not be imported yet."""
    zone: tzinfo = UTC
    """Of the dates on the axis."""

    def is_complete(self, t: int) -> bool:
        """Return whether all events of the period that begins at ``t`` are counted."""
        return t >= self.start and self.edges[bisect_right(self.edges, t)] <= min(self.end, self.known_end)

    def before(self, t: int) -> int:
        """Return where the period begins that is before the one that begins at ``t``."""
        return self.edges[max(bisect_left(self.edges, t) - 1, 0)]


def draw_trend(figure: "Figure", frame: "pl.DataFrame", column: str, axis: TimeAxis) -> None:
    """Draw a line for each group, with its name at the end. A period that is not complete is drawn dashed.

    Args:
        figure: Receives the chart.
        frame: ``time`` (UTC), ``group``, and the column to draw.
        column: The column on the y axis: a count, or a measure of numbers. NULL is not drawn.
        axis: The periods. Empty ones at the beginning are left out if they are the larger part.
    """
    axes = add_axes(figure, 3.2, left=0.75, right=1.7, bottom=0.45)
    ends: list[tuple[float, str, str]] = []
    shown = _without_empty_periods(frame.filter(frame["time"].dt.epoch("s") < axis.known_end), column, axis)
    for group, shade in group_colours(frame["group"].unique(maintain_order=True).to_list()).items():
        rows = shown.filter((shown["group"] == group) & shown[column].is_not_null())
        if len(rows):
            _draw_line(axes, rows, column, axis, shade)
            ends.append((rows[column][-1], group, shade))
    if not frame[column].sum():
        add_nothing_note(axes, f"no {'events' if frame[column].dtype.is_float() else column} in this span")
        axes.set_xlim(axis.start / SECONDS_PER_DAY, axis.end / SECONDS_PER_DAY)
    axes.margins(x=0.01, y=0.05)
    axes.set_ylim(min(0, min(frame[column].drop_nulls(), default=0)), None if frame[column].sum() else 1)
    add_line_names(axes, ends, 1.55)
    add_grid(axes)
    add_counts_axis(axes, column.replace("_", " "))
    add_date_axis(axes, zone=axis.zone)


def _draw_line(axes: "Axes", rows: "pl.DataFrame", column: str, axis: TimeAxis, shade: str) -> None:
    times, values = rows["time"].to_list(), rows[column].to_list()
    complete = [place for place, t in enumerate(rows["time"].dt.epoch("s")) if axis.is_complete(t)] or [0]
    first, last = complete[0], complete[-1]
    look: dict[str, Any] = {"color": shade, "lw": 1.8}
    axes.plot(times[first : last + 1], values[first : last + 1], solid_capstyle="round", **look)
    for part in (slice(first + 1), slice(last, None)):
        if len(times[part]) > 1:
            axes.plot(times[part], values[part], dashes=(2, 1.2), **look)
    if len(times) == 1:
        axes.plot(times, values, "o", ms=6, **look)


def _without_empty_periods(frame: "pl.DataFrame", column: str, axis: TimeAxis) -> "pl.DataFrame":
    """Leave out the periods before the first event, except one, if they are more than half of the span."""
    seconds = frame["time"].dt.epoch("s")
    first = min(seconds.filter(frame[column] > 0), default=axis.start)
    return frame.filter(seconds >= axis.before(first)) if first - axis.start > (axis.end - axis.start) / 2 else frame


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
    if not ends:
        add_nothing_note(axes, "no person reaches the goal")
    axes.set_ylim(0, None if ends else 1)
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
