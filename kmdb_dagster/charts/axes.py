"""The frame of a chart: sizes, margins, title, grid, date axis, and text beside the axes."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from kmdb_dagster.charts.labels import LARGE, NORMAL, SMALL, fit_label, fit_lines
from kmdb_dagster.charts.palette import FAINT, GREY, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES = 8.0
HEADER_INCHES = 0.8
FOOTER_INCHES = 0.35
TITLE_WIDTH_INCHES = 7.7
LINE_INCHES = 0.215
MAX_TITLE_LINES = 4
FIRST_DATE, LAST_DATE = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""matplotlib draws no date outside these years, and margins of an axis may reach there."""


def add_axes(figure: "Figure", height: float, *, left: float = 0.6, right: float = 0.3, bottom: float = 0.5) -> "Axes":
    """Add axes without a frame below the title. The figure grows to hold them.

    Args:
        figure: Receives the axes.
        height: Of the axes, in inches.
        left: Margin in inches, as are ``right`` and ``bottom``.
        right: See ``left``.
        bottom: See ``left``.
    """
    total = HEADER_INCHES + height + bottom + FOOTER_INCHES
    figure.set_size_inches(WIDTH_INCHES, total)
    width = (WIDTH_INCHES - left - right) / WIDTH_INCHES
    axes = figure.add_axes((left / WIDTH_INCHES, (FOOTER_INCHES + bottom) / total, width, height / total))
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, labelsize=NORMAL, labelcolor=INK)
    axes.set_axisbelow(True)
    return axes


def add_title(figure: "Figure", title: str, subtitle: str, footer: str) -> None:
    """Write title and subtitle above the axes, and a footer below. The figure grows by the lines that they need.

    Args:
        figure: The figure, with its axes.
        title: The title, of any length.
        subtitle: What the title leaves open, e.g. the span.
        footer: One line, e.g. where the figures are from.
    """
    titles = fit_lines(title, TITLE_WIDTH_INCHES, MAX_TITLE_LINES, size=LARGE, bold=True)
    subtitles = fit_lines(subtitle, TITLE_WIDTH_INCHES, MAX_TITLE_LINES, size=NORMAL + 0.5)
    before = figure.get_figheight()
    height = before + LINE_INCHES * (len(titles) + len(subtitles) - 2)
    figure.set_figheight(height)
    for axes in figure.axes:
        x0, y0, width, high = axes.get_position().bounds
        axes.set_position((x0, y0 * before / height, width, high * before / height))
    x = 0.15 / WIDTH_INCHES
    figure.text(x, 1 - 0.14 / height, "\n".join(titles), size=LARGE, weight="bold", color=INK, va="top")
    below = 0.17 + LINE_INCHES * len(titles)
    figure.text(x, 1 - below / height, "\n".join(subtitles), size=NORMAL + 0.5, color=GREY, va="top")
    figure.text(x, 0.1 / height, footer, size=SMALL, color=GREY)


def add_grid(axes: "Axes", *, vertical: bool = False) -> None:
    """Draw faint lines across the values: horizontal ones, or vertical ones."""
    axes.grid(axis="x" if vertical else "y", color=FAINT, lw=0.7)


def add_counts_axis(axes: "Axes", unit: str) -> None:
    """Name the unit above the y axis, and write its ticks with thousands separators."""
    add_note(axes, unit, (0, 1), (-6, 9))
    axes.locator_params(axis="y", integer=True)
    axes.yaxis.set_major_formatter("{x:,.0f}")


def add_date_axis(
    axes: "Axes", *, min_ticks: int = 3, max_ticks: int = 8, days_only: bool = False, zone: tzinfo = UTC
) -> None:
    """Put dates on the x axis, as short as they can be read.

    Args:
        axes: Its x values are dates or times; without a zone, UTC.
        min_ticks: Fewest dates.
        max_ticks: Most dates.
        days_only: One tick a day, and no hours between two days.
        zone: Of the dates.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DayLocator, date2num

    low, high = axes.get_xlim()
    axes.set_xlim(max(low, date2num(FIRST_DATE)), min(high, date2num(LAST_DATE)))  # type: ignore[no-untyped-call]  # matplotlib's
    locator = DayLocator(tz=zone) if days_only else AutoDateLocator(zone, min_ticks, max_ticks)  # type: ignore[no-untyped-call]  # as above
    axes.xaxis.get_offset_text().set(size=SMALL, color=GREY)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, zone))  # type: ignore[no-untyped-call]  # as above


def add_left_label(axes: "Axes", y: float, text: str, *, bold: bool = False) -> None:
    """Write a label to the left of the axes, at the height ``y`` of its data.

    Args:
        axes: The axes.
        y: Its height, in the axes' data.
        text: One line.
        bold: Whether it is bold.
    """
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    look: dict[str, Any] = {"ha": "right", "va": "center", "size": NORMAL, "color": INK}
    axes.annotate(text, (0, y), xytext=(-8, 0), weight="bold" if bold else "normal", **place, **look)


def add_right_label(  # noqa: PLR0913 - a place, a text and its look
    axes: "Axes", y: float, text: str, *, gap: float = 6, size: float = NORMAL, colour: str = INK
) -> None:
    """Write a label to the right of the axes.

    Args:
        axes: The axes.
        y: Its height, in the axes' data.
        text: One or more lines that fit already.
        gap: Distance from the axes, in points.
        size: Font size in points.
        colour: Colour of the text.
    """
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(text, (1, y), xytext=(gap, 0), va="center", size=size, color=colour, **place)


def add_line_names(axes: "Axes", ends: list[tuple[float, str, str]], inches: float) -> None:
    """Name lines at their right end, moved apart where the names would overlap.

    Args:
        axes: The axes that hold the lines.
        ends: Last y value, name and colour of each line.
        inches: Width that a name may have.
    """
    low, high = axes.get_ylim()
    gap = (high - low) * 0.058
    ends = sorted(ends)
    places = _moved_apart([value for value, _, _ in ends], gap, low, high)
    for y, (_, name, shade) in zip(places, ends, strict=True):
        add_right_label(axes, y, fit_label(name, inches), colour=shade)


def add_note(axes: "Axes", text: str, corner: tuple[float, float], offset: tuple[float, float]) -> None:
    """Write small grey text that ends at a corner of the axes, moved by ``offset`` in points.

    Args:
        axes: The axes.
        text: One or more lines.
        corner: Where it ends, as fractions of the axes' width and height.
        offset: Distance from the corner to the right and upwards, in points.
    """
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(text, corner, xytext=offset, ha="right", size=SMALL, color=GREY, **place)


def add_nothing_note(axes: "Axes", text: str) -> None:
    """Write in the middle of empty axes why nothing is drawn."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", size=NORMAL, color=GREY)


def _moved_apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move ascending places at least ``gap`` apart within the bounds: first up, then down where they rise too high."""
    floor, moved = low - gap, list(places)
    for index, place in enumerate(moved):
        moved[index] = floor = max(place, floor + gap)
    ceiling = high + gap
    for index in reversed(range(len(moved))):
        moved[index] = ceiling = min(moved[index], ceiling - gap)
    return moved
