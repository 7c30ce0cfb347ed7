"""One picture for each question: what is drawn of its frame. How pictures look is in ``style``.

matplotlib takes half a second to import: that is for the one who draws.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kmdb_dagster.charts import style
from kmdb_dagster.questions.span import LATEST, rounded

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SURELY = 0.05
"""p-values below this are drawn in colour."""
MOST_COHORTS = 30
FIRST_YEAR = datetime(1, 1, 1, tzinfo=UTC)
MOST_WRITTEN = 16
"""Periods up to which there is room to write each share down."""


def funnel(figure: "Figure", frame: "pl.DataFrame") -> None:
    """Bars of people for each step, the groups below each other, with the share of the first step written out."""
    groups = frame["group"].unique(maintain_order=True).to_list()
    shades = style.colours_of(groups)
    room = len(groups) + 0.45
    steps = max(frame["step"], default=0)
    axes = style.area(figure, 0.34 * room * steps, left=2.0, right=2.7, bottom=0.05)
    for row in frame.iter_rows(named=True):
        place = groups.index(row["group"])
        top = (row["step"] - 1) * room
        if place == 0:
            _left(
                axes,
                top + (len(groups) - 1) / 2,
                f"{row['step']}. {style.label(row['event'], 1.6, bold=True)}",
                bold=True,
            )
        axes.barh(top + place, row["of_first"], 0.86, color=shades[row["group"]])
        words = f"{100 * row['of_first']:.1f} %  ({row['people']:,})"
        if len(groups) > 1:
            words += f"  {style.label(row['group'], 1.5)}"
        axes.text(row["of_first"] + 0.012, top + place, words, va="center", size=style.NORMAL, color=style.INK)
    axes.set(xlim=(0, 1), ylim=(steps * room - 0.9, -0.6), xticks=[], yticks=[])


def trend(figure: "Figure", frame: "pl.DataFrame", what: str) -> None:
    """A line for each group, named at its end."""
    axes = style.area(figure, 3.2, left=0.75, right=1.7, bottom=0.45)
    ends: list[tuple[float, str, str]] = []
    for group, shade in style.colours_of(frame["group"].unique(maintain_order=True).to_list()).items():
        rows = frame.filter((frame["group"] == group) & frame[what].is_not_null())
        if len(rows):
            axes.plot(rows["time"].to_list(), rows[what].to_list(), color=shade, lw=1.8, solid_capstyle="round")
            ends.append((rows[what][-1], group, shade))
    axes.set_ylim(0, None)
    axes.margins(x=0.01)
    _name_ends(axes, ends, 1.55)
    _quiet(axes, what)
    _dates(axes)


def delay(figure: "Figure", frame: "pl.DataFrame", curve: "pl.DataFrame") -> None:
    """The share of people who are there, rising with the time since the first event; a dot where half of them are."""
    axes = style.area(figure, 3.2, left=0.75, right=2.7, bottom=0.6)
    longest = max(curve["seconds"], default=1)
    unit, seconds = _unit(longest)
    shades = style.colours_of(frame["group"].to_list())
    ends: list[tuple[float, str, str]] = []
    for row in frame.filter(frame["converted"] > 0).iter_rows(named=True):
        mine, shade = curve.filter(curve["group"] == row["group"]), shades[row["group"]]
        x = [0.0, *(mine["seconds"] / seconds), longest / seconds]
        y = [0.0, *(100 * mine["share"]), 100 * row["share"]]
        axes.plot(x, y, color=shade, lw=1.8, drawstyle="steps-post")
        axes.plot(row["median"] / seconds, 50 * row["share"], "o", color=shade, ms=6)
        name = f"{style.label(row['group'], 1.2)}: " if len(frame) > 1 else ""
        ends.append((y[-1], f"{name}half in {rounded(row['median'])}", shade))
    axes.set_ylim(0, None)
    axes.set_xlim(0, None)
    _name_ends(axes, ends, 2.55)
    _quiet(axes, "")
    axes.set_xlabel(f"{unit} since the first event", size=style.NORMAL, color=style.GREY)
    axes.yaxis.set_major_formatter("{x:g} %")


def retention(figure: "Figure", frame: "pl.DataFrame", length: str) -> None:
    """A cell for each cohort and period, the lighter the more came back; the cohort's size to its left.

    Period 0 is grey: nearly everybody does more than one thing at a time, and it would outshine the others.
    """
    cohorts = frame["cohort"].unique(maintain_order=True).to_list()[-MOST_COHORTS:]
    periods = max(frame["period"], default=0) + 1
    axes = style.area(figure, max(0.31 * len(cohorts), 0.4), left=2.1, bottom=0.2)
    day = "%Y-%m-%d" if length.endswith(("day", "days")) else "%Y-%m-%d %H:%M"
    largest = max(frame.filter(frame["period"] > 0)["share"], default=0) or 1.0
    for row in frame.filter(frame["cohort"].is_in(cohorts)).iter_rows(named=True):
        y, period = cohorts.index(row["cohort"]), row["period"]
        shade = style.FAINT if period == 0 else style.amount(row["share"] / largest)
        axes.barh(y, 0.96, 0.92, left=period + 0.02, color=shade)
        if periods <= MOST_WRITTEN:
            words = f"{100 * row['share']:.0f}"
            axes.text(period + 0.5, y, words, ha="center", va="center", color=style.ink_on(shade), size=8.5)
        if period == 0:
            _left(axes, y, f"{row['cohort']:{day}}   {row['people']:>6,}")
    step = max(1, periods // 12)
    places = range(0, periods, step)
    axes.set(xlim=(0, max(periods, 6)), ylim=(max(len(cohorts), 1) - 0.5, -0.5), yticks=[])
    axes.set_xticks([x + 0.5 for x in places], [str(x) for x in places])
    axes.xaxis.tick_top()
    _note(axes, "cohort   people", (0, 1), (-8, 6))
    _note(axes, f"% back, by number of periods of {length} after the first", (1, 0), (0, -14))


def paths(figure: "Figure", frame: "pl.DataFrame", ways: Sequence[Sequence[str]]) -> None:
    """A row for each path: its events as blocks, each event in its colour, and how many people took it.

    Args:
        figure: Takes the picture.
        frame: ``share`` and ``people`` of each path.
        ways: The names of the events of each.
    """
    rows = list(frame.iter_rows(named=True))
    shades = style.colours_of(list(dict.fromkeys(name for way in ways for name in way if name != "…")))
    longest = max(map(len, ways), default=1)
    axes = style.area(figure, 0.46 * max(len(ways), 1), left=1.3, right=0.15, bottom=0.05)
    for y, (way, row) in enumerate(zip(ways, rows, strict=True)):
        _left(axes, y, f"{100 * row['share']:.1f} %  ({row['people']:,})")
        for x, name in enumerate(way):
            shade = shades.get(name, style.FAINT)
            axes.barh(y, 0.96, 0.78, left=x, color=shade)
            words = "\n".join(style.lines(name, 6.2 / max(longest, 4), 2, size=style.SMALL))
            axes.text(x + 0.48, y, words, ha="center", va="center", size=style.SMALL, color=style.ink_on(shade))
    axes.set(xlim=(0, max(longest, 4)), ylim=(max(len(ways), 1) - 0.5, -0.5), xticks=[], yticks=[])


def experiment(figure: "Figure", frame: "pl.DataFrame") -> None:
    """The rate of each variant as a dot, its interval as a line; to the right, the difference to the control."""
    axes = style.area(figure, 0.62 * len(frame), left=2.0, right=2.3, bottom=0.45)
    for y, row in enumerate(frame.iter_rows(named=True)):
        shade = style.COLOURS[0 if row["gain"] is None else 1]
        axes.plot([100 * row["low"], 100 * row["high"]], [y, y], color=shade, lw=3, solid_capstyle="round", alpha=0.45)
        axes.plot(100 * row["rate"], y, "o", color=shade, ms=9)
        axes.annotate(
            f"{100 * row['rate']:.1f} %",
            (100 * row["rate"], y),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            size=style.NORMAL,
            color=style.INK,
            weight="bold",
        )
        _left(axes, y, f"{style.label(row['variant'], 1.8)}\n{row['converted']:,} of {row['people']:,}")
        words = "the control"
        if row["gain"] is not None:
            words = (
                f"{100 * row['gain']:+.1f} points\n{100 * row['gain_low']:+.1f} to "
                f"{100 * row['gain_high']:+.1f}, p = {row['p']:.2g}"
            )
        axes.annotate(
            words,
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(14, 0),
            textcoords="offset points",
            va="center",
            size=style.NORMAL,
            color=style.INK,
        )
    axes.set(ylim=(len(frame) - 0.4, -0.6), yticks=[])
    axes.margins(x=0.12)
    _quiet(axes, "", vertical=True)
    axes.xaxis.set_major_formatter("{x:g} %")


def drivers(figure: "Figure", frame: "pl.DataFrame") -> None:
    """The odds of each value beside what it is compared with, on a scale on which half and double are as far."""
    rows = list(frame.iter_rows(named=True))
    properties = list(dict.fromkeys(row["property"] for row in rows))
    axes = style.area(figure, 0.27 * (len(rows) + len(properties)), left=2.6, right=1.9, bottom=0.5)
    y = -1.0
    ticks: list[float] = []
    axes.axvline(1, color=style.GREY, lw=0.8)
    for name in properties:
        y += 1
        _left(axes, y, style.label(name, 2.4, bold=True), bold=True)
        for row in (row for row in rows if row["property"] == name):
            y += 1
            ticks.append(y)
            _one_driver(axes, y, row)
    axes.set_xscale("log", base=2)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.5), max(high, 2))
    axes.set(ylim=(y + 0.7, -0.7), yticks=[])
    _quiet(axes, "", vertical=True)
    axes.xaxis.set_major_formatter(lambda x, _: f"\N{MULTIPLICATION SIGN} {x:g}")
    axes.set_xlabel("odds, compared with the most frequent value", size=style.NORMAL, color=style.GREY)


def _one_driver(axes: "Axes", y: float, row: dict[str, Any]) -> None:
    _left(axes, y, style.label(row["value"], 2.4))
    clear = row["p"] is not None and row["p"] < SURELY
    shade = style.COLOURS[1] if clear else style.GREY
    if row["odds_low"] is not None:
        axes.plot([row["odds_low"], row["odds_high"]], [y, y], color=shade, lw=2.2, solid_capstyle="round", alpha=0.5)
    if row["odds"] is not None:
        axes.plot([row["odds"]], [y], "o", color=shade, ms=6, mfc=shade if row["p"] is not None else "white")
    words = f"{100 * row['rate']:.1f} % of {row['people']:,}"
    if row["odds"] is None:
        words += ", no odds"
    axes.annotate(
        words,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(10, 0),
        textcoords="offset points",
        va="center",
        size=style.SMALL + 0.5,
        color=style.INK,
    )


def _left(axes: "Axes", y: float, words: str, *, bold: bool = False) -> None:
    """A label to the left of the axes."""
    weight = "bold" if bold else "normal"
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    look: dict[str, Any] = {"ha": "right", "va": "center", "size": style.NORMAL, "color": style.INK, "weight": weight}
    axes.annotate(words, (0, y), xytext=(-8, 0), **place, **look)


def _name_ends(axes: "Axes", ends: list[tuple[float, str, str]], room: float) -> None:
    """Names of lines to the right of them, moved apart where they would overlap; ``room`` is in inches."""
    low, high = axes.get_ylim()
    apart = (high - low) * 0.058
    ends = sorted(ends)
    places = _moved_apart([value for value, _, _ in ends], apart, low, high)
    for y, (_, name, shade) in zip(places, ends, strict=True):
        axes.annotate(
            style.label(name, room),
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            size=style.NORMAL,
            color=shade,
        )


def _moved_apart(places: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Ascending places, so far apart and between the bounds: moved up first, then down where they rise too high."""
    floor, moved = low - apart, list(places)
    for index, place in enumerate(moved):
        moved[index] = floor = max(place, floor + apart)
    ceiling = high + apart
    for index in reversed(range(len(moved))):
        moved[index] = ceiling = min(moved[index], ceiling - apart)
    return moved


def _quiet(axes: "Axes", what: str, *, vertical: bool = False) -> None:
    """Faint lines to read values by."""
    axes.grid(axis="x" if vertical else "y", color=style.FAINT, lw=0.7)
    if what:
        axes.annotate(
            what,
            (0, 1),
            xycoords="axes fraction",
            xytext=(-6, 9),
            textcoords="offset points",
            ha="right",
            size=style.SMALL,
            color=style.GREY,
        )
        axes.yaxis.set_major_formatter("{x:,.0f}")


def _dates(axes: "Axes") -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

    # matplotlib draws no year after 9999, and its margins may reach there.
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, date2num(FIRST_YEAR)), min(high, date2num(LATEST)))  # type: ignore[no-untyped-call]  # matplotlib's
    places = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]  # matplotlib's
    axes.xaxis.get_offset_text().set(size=style.SMALL, color=style.GREY)
    axes.xaxis.set_major_locator(places)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(places))  # type: ignore[no-untyped-call]  # matplotlib's


def _unit(longest: float) -> tuple[str, int]:
    """The unit in which such a length of time is read best, and its seconds."""
    for unit, seconds in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if longest > 2 * seconds:
            return unit, seconds
    return "seconds", 1


def _note(axes: "Axes", words: str, where: tuple[float, float], offset: tuple[float, float]) -> None:
    """Small words that end at a corner of the axes."""
    axes.annotate(
        words,
        where,
        xycoords="axes fraction",
        xytext=offset,
        textcoords="offset points",
        ha="right",
        size=style.SMALL,
        color=style.GREY,
    )
