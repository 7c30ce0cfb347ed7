"""Charts of counts: the share of people for each number of times."""

from typing import TYPE_CHECKING, Any

from kmdb_dagster.charts.axes import add_axes, add_grid, add_line_names, add_nothing_note
from kmdb_dagster.charts.labels import NORMAL, SMALL
from kmdb_dagster.charts.palette import GREY, INK, group_colours

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BARS = 40
"""More bars are too thin to tell their groups apart: then each group is a line."""
MAX_WRITTEN_BARS = 14
"""With more bars, there is no room for their shares as text."""


def draw_histogram(figure: "Figure", frame: "pl.DataFrame", unit: str) -> None:
    """Draw a bar for each group and number of times. A group is a line if there are too many bars.

    Args:
        figure: Receives the chart.
        frame: ``group``, ``times`` (text), ``share`` (0 to 1). All groups have the same numbers.
        unit: What the number counts: ``days``.
    """
    groups = {group: 100 * frame.filter(frame["group"] == group)["share"] for group in _unique(frame, "group")}
    places = _unique(frame, "times")
    axes = add_axes(figure, 3.0, left=0.75, right=1.7 if len(groups) > 1 else 0.3, bottom=0.6)
    shades = group_colours(list(groups))
    has_bars = len(groups) == 1 or len(groups) * len(places) <= MAX_BARS
    (_draw_bars if has_bars else _draw_lines)(axes, groups, shades)
    if not groups:
        add_nothing_note(axes, "no people in this span")
    axes.margins(y=0.12)
    axes.set_ylim(0, None if any(frame["share"]) else 1)
    axes.set_xticks(range(len(places)), places)
    axes.set_xlabel(unit, size=NORMAL, color=GREY)
    axes.yaxis.set_major_formatter("{x:g} %")
    add_grid(axes)
    if len(groups) > 1:
        top = axes.get_ylim()[1]
        # Names of bars are a list below the top, in the order of the bars.
        ends = {
            group: top * (1 - 1e-6 * place) if has_bars else shares[-1]
            for place, (group, shares) in enumerate(groups.items())
        }
        add_line_names(axes, [(y, group, shades[group]) for group, y in ends.items()], 1.55)


def _unique(frame: "pl.DataFrame", column: str) -> list[str]:
    return frame[column].unique(maintain_order=True).to_list()


def _draw_bars(axes: "Axes", groups: "dict[str, pl.Series]", shades: dict[str, str]) -> None:
    width = 0.84 / max(len(groups), 1)
    is_written = sum(map(len, groups.values())) <= MAX_WRITTEN_BARS
    for place, (group, shares) in enumerate(groups.items()):
        left = (place - (len(groups) - 1) / 2) * width
        bars = axes.bar([x + left for x in range(len(shares))], shares, 0.96 * width, color=shades[group])
        if is_written:
            axes.bar_label(bars, fmt="{:.1f} %", padding=2, size=SMALL, color=INK)


def _draw_lines(axes: "Axes", groups: "dict[str, pl.Series]", shades: dict[str, str]) -> None:
    look: dict[str, Any] = {"lw": 1.8, "marker": "o", "ms": 3.5}
    for group, shares in groups.items():
        axes.plot(range(len(shares)), shares, color=shades[group], **look)
