"""One picture for each question: what is drawn of its frame. How pictures look is in ``style``.

matplotlib takes half a second to import: that is for the one who draws.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAR = 0.62
"""Of the room of a bar, how much it fills."""
SURELY = 0.05
"""p-values below this are drawn in colour."""
MOST_COHORTS = 30
MOST_WRITTEN = 16
"""Periods up to which there is room to write each share down."""


def funnel(figure: "Figure", frame: "pl.DataFrame") -> None:
    """Bars of people for each step, the groups below each other, with the share of the first step written out."""
    from kmdb_dagster.questions import style

    groups = frame["group"].unique(maintain_order=True).to_list()
    steps = frame.filter(frame["group"] == groups[0])["event"].to_list()
    rows = len(steps) * len(groups)
    axes = style.area(figure, 0.36 * rows + 0.15 * len(steps), left=2.2, right=1.9, bottom=0.1)
    cells = {(row["group"], row["step"]): row for row in frame.iter_rows(named=True)}
    for at, (event, step) in enumerate(zip(steps, range(1, len(steps) + 1), strict=True)):
        top = at * (len(groups) + 0.4)
        _left(axes, top + (len(groups) - 1) / 2, f"{step}. {style.shortened(event)}", bold=True)
        for place, group in enumerate(groups):
            row = cells[group, step]
            y = top + place
            axes.barh(y, row["of_first"], BAR + 0.2, color=style.colour(place))
            words = f"{100 * row['of_first']:.1f} %  ({row['people']:,})"
            if len(groups) > 1:
                words += f"  {style.shortened(group, 20)}"
            axes.text(row["of_first"] + 0.012, y, words, va="center", size=style.NORMAL, color=style.INK)
    axes.set(xlim=(0, 1), ylim=(len(steps) * (len(groups) + 0.4) - 0.9, -0.6), xticks=[], yticks=[])


def _left(axes: "Axes", y: float, words: str, *, bold: bool = False) -> None:
    """A label to the left of the axes, flush with the title."""
    from kmdb_dagster.questions import style

    axes.annotate(
        words,
        (0, y),
        xycoords=("axes fraction", "data"),
        xytext=(-8, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        size=style.NORMAL,
        color=style.INK,
        weight="bold" if bold else "normal",
    )


def trend(figure: "Figure", frame: "pl.DataFrame", what: str) -> None:
    """A line for each group, named at its end."""
    from kmdb_dagster.questions import style

    axes = style.area(figure, 3.2, left=0.75, right=1.7, bottom=0.45)
    ends: list[tuple[float, str, int]] = []
    groups = frame["group"].unique(maintain_order=True).to_list()
    for place, group in enumerate(groups):
        rows = frame.filter(frame["group"] == group)
        values = [value for value in rows[what].to_list() if value is not None]
        if values:
            axes.plot(rows["time"].to_list(), values, color=style.colour(place), lw=1.8, solid_capstyle="round")
            ends.append((values[-1], group, place))
    axes.set_ylim(0, None)
    axes.margins(x=0.01)
    _name_ends(axes, ends)
    _quiet(axes, what)
    _dates(axes)


def delay(figure: "Figure", frame: "pl.DataFrame", curve: "pl.DataFrame") -> None:
    """The share of people who are there, rising with the time since the first event; a dot where half of them are."""
    from kmdb_dagster.questions import style
    from kmdb_dagster.questions.span import rounded

    axes = style.area(figure, 3.2, left=0.75, right=1.7, bottom=0.6)
    unit, seconds = _unit(max(curve["seconds"], default=1))
    ends: list[tuple[float, str, int]] = []
    for place, row in enumerate(frame.iter_rows(named=True)):
        mine = curve.filter(curve["group"] == row["group"])
        if mine.is_empty():
            continue
        x, y = [0.0, *(mine["seconds"] / seconds)], [0.0, *(100 * mine["share"])]
        axes.plot(x, y, color=style.colour(place), lw=1.8, drawstyle="steps-post")
        axes.plot(row["median"] / seconds, 50 * row["share"], "o", color=style.colour(place), ms=6)
        name = f"{row['group']}: " if len(frame) > 1 else ""
        ends.append((y[-1], f"{name}half in {rounded(row['median'])}", place))
    axes.set_ylim(0, None)
    axes.set_xlim(0, None)
    _name_ends(axes, ends)
    _quiet(axes, "")
    axes.set_xlabel(f"{unit} since the first event", size=style.NORMAL, color=style.GREY)
    axes.yaxis.set_major_formatter("{x:g} %")


def retention(figure: "Figure", frame: "pl.DataFrame", length: str) -> None:
    """A cell for each cohort and period, the darker the fewer came back; the cohort's size to its left."""
    from kmdb_dagster.questions import style

    known = frame.filter(frame["share"].is_not_null())
    periods = max(known["period"], default=0) + 1
    cohorts = known["cohort"].unique(maintain_order=True).to_list()[-MOST_COHORTS:]
    axes = style.area(figure, max(0.31 * len(cohorts), 0.5), left=2.1, bottom=0.1)
    largest = max(*known["share"], 0.01, 0.01)
    shades = style.amounts()
    for y, cohort in enumerate(cohorts):
        rows = known.filter(known["cohort"] == cohort).iter_rows(named=True)
        for row in rows:
            depth = row["share"] / largest
            axes.barh(y, 0.96, 0.92, left=row["period"] + 0.02, color=shades(depth))
            if periods <= MOST_WRITTEN:
                ink = "white" if depth < 0.6 else style.INK
                axes.text(
                    row["period"] + 0.5, y, f"{100 * row['share']:.0f}", ha="center", va="center", color=ink, size=8.5
                )
        size = known.filter(known["cohort"] == cohort)["people"][0]
        hours = "" if length.endswith(("day", "days")) else " %H:%M"
        _left(axes, y, f"{cohort:%Y-%m-%d{hours}}   {size:>6,}")
    axes.set(xlim=(0, max(periods, 6)), ylim=(len(cohorts) - 0.5, -0.5), yticks=[])
    step = max(1, periods // 12)
    axes.set_xticks([x + 0.5 for x in range(0, periods, step)], [str(x) for x in range(0, periods, step)])
    axes.xaxis.tick_top()
    axes.annotate(
        "cohort   people",
        (0, 1),
        xycoords="axes fraction",
        xytext=(-8, 6),
        textcoords="offset points",
        ha="right",
        size=style.SMALL,
        color=style.GREY,
    )
    axes.annotate(
        f"% back, by number of periods of {length} after the first",
        (1, 1),
        xycoords="axes fraction",
        xytext=(0, 19),
        textcoords="offset points",
        ha="right",
        size=style.SMALL,
        color=style.GREY,
    )


def paths(figure: "Figure", frame: "pl.DataFrame") -> None:
    """A row for each path: its events as blocks, each event in its colour, and how many people took it."""
    from kmdb_dagster.questions import style

    ways = [row["path"].split(" → ") for row in frame.iter_rows(named=True)]
    names = list(dict.fromkeys(name for way in ways for name in way if name != "…"))
    colours = {name: style.colour(place) for place, name in enumerate(names)}
    longest = max(map(len, ways), default=1)
    axes = style.area(figure, 0.4 * max(len(ways), 1), left=0.15, right=0.15, bottom=0.05)
    room = 1.35
    for y, (way, row) in enumerate(zip(ways, frame.iter_rows(named=True), strict=True)):
        axes.text(
            room - 0.1,
            y,
            f"{100 * row['share']:.1f} %  ({row['people']:,})",
            ha="right",
            va="center",
            size=style.NORMAL,
            color=style.INK,
        )
        for x, name in enumerate(way):
            shade = colours.get(name, style.FAINT)
            axes.barh(y, 0.95, 0.7, left=room + x, color=shade)
            axes.text(
                room + x + 0.475,
                y,
                style.shortened(name, max(10, 84 // (longest + 1))),
                ha="center",
                va="center",
                size=style.SMALL,
                color=style.ink_on(shade),
            )
    axes.set(xlim=(0, room + max(longest, 4)), ylim=(len(ways) - 0.5, -0.5), xticks=[], yticks=[])


def experiment(figure: "Figure", frame: "pl.DataFrame") -> None:
    """The rate of each variant as a dot, its interval as a line; to the right, the difference to the control."""
    from kmdb_dagster.questions import style

    axes = style.area(figure, 0.62 * len(frame), left=2.0, right=2.3, bottom=0.45)
    for y, row in enumerate(frame.iter_rows(named=True)):
        shade = style.colour(0 if row["difference"] is None else 1)
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
        _left(axes, y, f"{style.shortened(row['variant'], 20)}\n{row['converted']:,} of {row['people']:,}")
        words = "the control"
        if row["difference"] is not None:
            words = (
                f"{100 * row['difference']:+.1f} points\n{100 * row['difference_low']:+.1f} to "
                f"{100 * row['difference_high']:+.1f}, p = {row['p']:.2g}"
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
    axes.set_ylim(len(frame) - 0.4, -0.6)
    axes.margins(x=0.12)
    _quiet(axes, "", vertical=True)
    axes.xaxis.set_major_formatter("{x:g} %")


def drivers(figure: "Figure", frame: "pl.DataFrame") -> None:
    """The odds of each value beside what it is compared with, on a scale on which half and double are as far."""
    from kmdb_dagster.questions import style

    rows = list(frame.iter_rows(named=True))
    properties = list(dict.fromkeys(row["property"] for row in rows))
    axes = style.area(figure, 0.27 * (len(rows) + len(properties)), left=2.6, right=1.9, bottom=0.5)
    y = -1.0
    ticks: list[float] = []
    axes.axvline(1, color=style.GREY, lw=0.8)
    for name in properties:
        y += 1
        _left(axes, y, style.shortened(name), bold=True)
        for row in (row for row in rows if row["property"] == name):
            y += 1
            ticks.append(y)
            _one_driver(axes, y, row)
    axes.set_xscale("log", base=2)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.5), max(high, 2))
    axes.set_ylim(y + 0.7, -0.7)
    _quiet(axes, "", vertical=True)
    axes.xaxis.set_major_formatter(lambda x, _: f"\N{MULTIPLICATION SIGN} {x:g}")
    axes.set_xlabel("odds, compared with the most frequent value", size=style.NORMAL, color=style.GREY)


def _one_driver(axes: "Axes", y: float, row: dict[str, Any]) -> None:
    from kmdb_dagster.questions import style

    _left(axes, y, style.shortened(row["value"], 32))
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


def _name_ends(axes: "Axes", ends: list[tuple[float, str, int]]) -> None:
    """Names of lines to the right of them, moved apart where they would overlap."""
    from kmdb_dagster.questions import style

    low, high = axes.get_ylim()
    apart = (high - low) * 0.058
    y = low - apart
    for value, name, place in sorted(ends):
        y = max(value, y + apart)
        axes.annotate(
            style.shortened(name, 26),
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            size=style.NORMAL,
            color=style.colour(place),
        )


def _quiet(axes: "Axes", what: str, *, vertical: bool = False) -> None:
    """Faint lines to read values by."""
    from kmdb_dagster.questions import style

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
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    places = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]  # matplotlib's
    axes.xaxis.set_major_locator(places)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(places))  # type: ignore[no-untyped-call]  # matplotlib's


def _unit(longest: float) -> tuple[str, int]:
    """The unit in which such a length of time is read best, and its seconds."""
    for unit, seconds in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if longest > 2 * seconds:
            return unit, seconds
    return "seconds", 1
