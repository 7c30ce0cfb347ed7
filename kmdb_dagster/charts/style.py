"""How pictures look: sizes, colours, words around them. What is drawn is in ``charts``.

Names in them come from visitors of a site: `escaping` makes labels of them, and `fonts` has their characters.

The colours are Okabe and Ito's (2008), which people of all kinds of colour vision tell apart; for amounts, viridis.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kmdb_dagster.escaping import for_label
from kmdb_dagster.questions import fonts
from kmdb_dagster.questions.duck import OTHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 8.0
HEADER = 0.8
FOOTER = 0.35
"""Inches."""
INK = "#222222"
GREY = "#6b6b6b"
FAINT = "#dddddd"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8a8a8a")
"""In the order in which groups get them; the last is for the rest."""
SMALL, NORMAL, LARGE = 8, 9.5, 12.5
"""Points."""
TEXT_WIDTH = 7.7
"""Inches of a line of the title."""
MAX_LINES = 4
MAX_CELLS = 400
"""Cells of a label that are measured; no label has room for more."""
MIN_CELLS = 4
LINE = 0.215
"""Inches of a line of either."""


def area(figure: "Figure", height: float, *, left: float = 0.6, right: float = 0.3, bottom: float = 0.5) -> "Axes":
    """Bare axes below the title, ``height`` inches high, with margins in inches. The figure grows to hold them."""
    total = HEADER + height + bottom + FOOTER
    figure.set_size_inches(WIDTH, total)
    axes = figure.add_axes((left / WIDTH, (FOOTER + bottom) / total, (WIDTH - left - right) / WIDTH, height / total))
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, labelsize=NORMAL, labelcolor=INK)
    axes.set_axisbelow(True)
    return axes


def entitle(figure: "Figure", question: str, finding: str, span: str) -> None:
    """Write the question and what was found above the picture, which makes room for it, and the span at the foot."""
    title, said = lines(question, TEXT_WIDTH, MAX_LINES, size=LARGE, bold=True), lines(finding, TEXT_WIDTH, MAX_LINES)
    more = LINE * (len(title) + len(said) - 2)
    before, height = figure.get_figheight(), figure.get_figheight() + more
    figure.set_figheight(height)
    for axes in figure.axes:
        x0, y0, width, high = axes.get_position().bounds
        axes.set_position((x0, y0 * before / height, width, high * before / height))
    x = 0.15 / WIDTH
    figure.text(x, 1 - 0.14 / height, "\n".join(title), size=LARGE, weight="bold", color=INK, va="top")
    below = 0.17 + LINE * len(title)
    figure.text(x, 1 - below / height, "\n".join(said), size=NORMAL + 0.5, color=GREY, va="top")
    figure.text(x, 0.1 / height, span, size=SMALL, color=GREY)


def colours_of(groups: Sequence[str]) -> dict[str, str]:
    """A colour for each group; grey for what is left over."""
    shades = {group: COLOURS[min(place, len(COLOURS) - 1)] for place, group in enumerate(groups)}
    return {group: COLOURS[-1] if group == OTHER else shade for group, shade in shades.items()}


def amount(share: float) -> str:
    """A colour for an amount from 0 to 1."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps["viridis"](share))


def ink_on(shade: str) -> str:
    """Black or white, whichever is read better on a colour."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(shade)
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def label(text: str, inches: float, *, size: float = NORMAL, bold: bool = False) -> str:
    """A name or a value as one line of at most this width; a longer one loses its middle."""
    cells = MAX_CELLS
    while True:
        short = for_label(text, cells)
        width = fonts.width(short, size, bold=bold)
        if width <= inches or cells <= MIN_CELLS:
            return short
        cells = max(MIN_CELLS, min(cells - 1, int(min(cells, len(short)) * inches / width)))


def lines(text: str, inches: float, most: int, *, size: float = NORMAL, bold: bool = False) -> list[str]:
    """A text as at most so many lines of this width, broken at blanks where that is possible."""
    cells = MAX_CELLS
    while True:
        found = _broken(for_label(text, cells), inches, size, bold=bold)
        if len(found) <= most or cells <= MIN_CELLS:
            return found
        cells = max(MIN_CELLS, min(cells - 1, cells * most // len(found)))


def _broken(text: str, inches: float, size: float, *, bold: bool) -> list[str]:
    broken = [""]
    for word in text.split(" "):
        for piece in _pieces(word, inches, size, bold=bold):
            joined = f"{broken[-1]} {piece}" if broken[-1] else piece
            if fonts.width(joined, size, bold=bold) <= inches:
                broken[-1] = joined
            else:
                broken.append(piece)
    return [line for line in broken if line]


def _pieces(word: str, inches: float, size: float, *, bold: bool) -> list[str]:
    """A word, cut where it is wider than a line."""
    if len(word) <= 1 or fonts.width(word, size, bold=bold) <= inches:
        return [word]
    fits = max(1, bisect_left(range(1, len(word)), inches, key=lambda end: fonts.width(word[:end], size, bold=bold)))
    return [word[:fits], *_pieces(word[fits:], inches, size, bold=bold)]
