"""Charts that compare groups with intervals: an experiment's rates, the drivers' odds."""

from typing import TYPE_CHECKING, Any

from kmdb_dagster.charts.axes import add_axes, add_grid, add_left_label, add_right_label
from kmdb_dagster.charts.labels import NORMAL, SMALL, fit_label
from kmdb_dagster.charts.palette import BLUE, GREY, INK, ORANGE

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGNIFICANCE_LEVEL = 0.05
"""Drivers with a p-value below this are drawn in colour."""


def draw_experiment(figure: "Figure", frame: "pl.DataFrame") -> None:
    """Draw the rate of each variant as a dot and its interval as a line, with the difference to the control as text.

    Args:
        figure: Receives the chart.
        frame: ``variant``, ``people``, ``converted``, and as shares ``rate, low, high, gain, gain_low, gain_high``,
            and ``p``. ``gain`` is NULL for the control.
    """
    axes = add_axes(figure, 0.62 * len(frame), left=2.0, right=2.3, bottom=0.45)
    for y, row in enumerate(frame.iter_rows(named=True)):
        shade = BLUE if row["gain"] is None else ORANGE
        axes.plot([100 * row["low"], 100 * row["high"]], [y, y], color=shade, lw=3, solid_capstyle="round", alpha=0.45)
        axes.plot(100 * row["rate"], y, "o", color=shade, ms=9)
        _write_above(axes, 100 * row["rate"], y, f"{100 * row['rate']:.1f} %")
        add_left_label(axes, y, f"{fit_label(row['variant'], 1.8)}\n{row['converted']:,} of {row['people']:,}")
        add_right_label(axes, y, _difference_text(row), gap=14)
    axes.set(ylim=(len(frame) - 0.4, -0.6), yticks=[])
    axes.margins(x=0.12)
    add_grid(axes, vertical=True)
    axes.xaxis.set_major_formatter("{x:g} %")


def _write_above(axes: "Axes", x: float, y: float, text: str) -> None:
    look: dict[str, Any] = {"ha": "center", "size": NORMAL, "color": INK, "weight": "bold"}
    axes.annotate(text, (x, y), xytext=(0, 8), textcoords="offset points", **look)


def _difference_text(row: dict[str, Any]) -> str:
    if row["gain"] is None:
        return "the control"
    low, high = 100 * row["gain_low"], 100 * row["gain_high"]
    return f"{100 * row['gain']:+.1f} points\n{low:+.1f} to {high:+.1f}, p = {row['p']:.2g}"


def draw_drivers(figure: "Figure", frame: "pl.DataFrame") -> None:
    """Draw the odds ratio of each value, with its interval, on a logarithmic axis.

    Args:
        figure: Receives the chart.
        frame: ``property``, ``value``, ``people``, ``rate`` (0 to 1), ``odds``, ``odds_low``, ``odds_high``, ``p``.
            Odds are ratios to the property's most frequent value; NULL where they cannot be estimated.
    """
    rows = list(frame.iter_rows(named=True))
    properties = list(dict.fromkeys(row["property"] for row in rows))
    axes = add_axes(figure, 0.27 * (len(rows) + len(properties)), left=2.6, right=1.9, bottom=0.5)
    y = -1.0
    axes.axvline(1, color=GREY, lw=0.8)
    for name in properties:
        y += 1
        add_left_label(axes, y, fit_label(name, 2.4, bold=True), bold=True)
        for row in (row for row in rows if row["property"] == name):
            y += 1
            _draw_driver(axes, y, row)
    axes.set_xscale("log", base=2)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.5), max(high, 2))
    axes.set(ylim=(y + 0.7, -0.7), yticks=[])
    add_grid(axes, vertical=True)
    axes.xaxis.set_major_formatter(lambda x, _: f"\N{MULTIPLICATION SIGN} {x:g}")
    axes.set_xlabel("odds, compared with the most frequent value", size=NORMAL, color=GREY)


def _draw_driver(axes: "Axes", y: float, row: dict[str, Any]) -> None:
    add_left_label(axes, y, fit_label(row["value"], 2.4))
    shade = ORANGE if row["p"] is not None and row["p"] < SIGNIFICANCE_LEVEL else GREY
    if row["odds_low"] is not None:
        axes.plot([row["odds_low"], row["odds_high"]], [y, y], color=shade, lw=2.2, solid_capstyle="round", alpha=0.5)
    if row["odds"] is not None:
        axes.plot([row["odds"]], [y], "o", color=shade, ms=6, mfc=shade if row["p"] is not None else "white")
    text = f"{100 * row['rate']:.1f} % of {row['people']:,}" + (", no odds" if row["odds"] is None else "")
    add_right_label(axes, y, text, gap=10, size=SMALL + 0.5)
