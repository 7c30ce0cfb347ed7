"""Charts of steps: the bars of a funnel, the blocks of paths."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kmdb_dagster.charts.axes import add_axes, add_left_label, add_nothing_note
from kmdb_dagster.charts.labels import NORMAL, SMALL, fit_label, fit_lines
from kmdb_dagster.charts.palette import FAINT, INK, group_colours, ink_on

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

ELLIPSIS = "…"
"""Replaces the events of a path that is too long."""


def draw_funnel(figure: "Figure", frame: "pl.DataFrame") -> None:
    """Draw a bar of people for each step and group, with its share of the first step as text.

    Args:
        figure: Receives the chart.
        frame: ``group``, ``step`` (from 1), ``event``, ``people``, ``of_first`` (0 to 1).
    """
    groups = frame["group"].unique(maintain_order=True).to_list()
    shades = group_colours(groups)
    step_height = len(groups) + 0.45
    steps = max(frame["step"], default=0)
    axes = add_axes(figure, 0.34 * step_height * max(steps, 1), left=2.0, right=2.7, bottom=0.05)
    for row in frame.iter_rows(named=True):
        place = groups.index(row["group"])
        top = (row["step"] - 1) * step_height
        if place == 0:
            name = fit_label(row["event"], 1.6, bold=True)
            add_left_label(axes, top + (len(groups) - 1) / 2, f"{row['step']}. {name}", bold=True)
        axes.barh(top + place, row["of_first"], 0.86, color=shades[row["group"]])
        text = f"{100 * row['of_first']:.1f} %  ({row['people']:,})"
        if len(groups) > 1:
            text += f"  {fit_label(row['group'], 1.5)}"
        axes.text(row["of_first"] + 0.012, top + place, text, va="center", size=NORMAL, color=INK)
    if frame.is_empty():
        add_nothing_note(axes, "no person did the first step in this span")
    axes.set(xlim=(0, 1), ylim=(max(steps, 1) * step_height - 0.9, -0.6), xticks=[], yticks=[])


def draw_paths(figure: "Figure", frame: "pl.DataFrame", paths: Sequence[Sequence[str]]) -> None:
    """Draw a row for each path: its events as blocks, each event in its colour, and the people that took it.

    Args:
        figure: Receives the chart.
        frame: ``share`` (0 to 1) and ``people`` of each path.
        paths: The names of the events of each path, in the same order; `ELLIPSIS` for events left out.
    """
    shades = group_colours(list(dict.fromkeys(name for path in paths for name in path if name != ELLIPSIS)))
    longest = max(map(len, paths), default=1)
    axes = add_axes(figure, 0.46 * max(len(paths), 1), left=1.3, right=0.15, bottom=0.05)
    for y, (path, row) in enumerate(zip(paths, frame.iter_rows(named=True), strict=True)):
        add_left_label(axes, y, f"{100 * row['share']:.1f} %  ({row['people']:,})")
        for x, name in enumerate(path):
            shade = shades.get(name, FAINT)
            axes.barh(y, 0.96, 0.78, left=x, color=shade)
            text = "\n".join(fit_lines(name, 6.2 / max(longest, 4), 2, size=SMALL))
            axes.text(x + 0.48, y, text, ha="center", va="center", size=SMALL, color=ink_on(shade))
    if not paths:
        add_nothing_note(axes, "no paths in this span")
    axes.set(xlim=(0, max(longest, 4)), ylim=(max(len(paths), 1) - 0.5, -0.5), xticks=[], yticks=[])
