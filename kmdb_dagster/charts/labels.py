"""Text in charts: names and sentences, shortened or wrapped until they fit.

Names come from visitors of a site: `escaping` makes them harmless, and `fonts` has their characters.
"""

from bisect import bisect_left

from kmdb_dagster.charts import fonts
from kmdb_dagster.output_escaping import for_label

SMALL, NORMAL, LARGE = 8, 9.5, 12.5
"""Font sizes in points."""
MAX_CELLS = 400
"""Longest text that is measured, in terminal cells. No label has room for more."""
MIN_CELLS = 4


def fit_label(text: str, inches: float, *, size: float = NORMAL, bold: bool = False) -> str:
    """Shorten a name or value to one line of at most this width, by leaving out its middle.

    Args:
        text: The name or value; any characters.
        inches: The width that there is.
        size: The font size in points.
        bold: Whether it is drawn bold.
    """
    cells = MAX_CELLS
    while True:
        short = for_label(text, cells)
        width = fonts.text_width(short, size, bold=bold)
        if width <= inches or cells <= MIN_CELLS:
            return short
        cells = max(MIN_CELLS, min(cells - 1, int(min(cells, len(short)) * inches / width)))


def fit_lines(text: str, inches: float, max_lines: int, *, size: float = NORMAL, bold: bool = False) -> list[str]:
    """Wrap a text into at most ``max_lines`` lines of this width, at blanks where possible.

    Args:
        text: The text; any characters.
        inches: The width of a line.
        max_lines: A text that needs more lines loses its middle.
        size: The font size in points.
        bold: Whether it is drawn bold.
    """
    cells = MAX_CELLS
    while True:
        found = _wrapped(for_label(text, cells), inches, size, bold=bold)
        if len(found) <= max_lines or cells <= MIN_CELLS:
            return found
        cells = max(MIN_CELLS, min(cells - 1, cells * max_lines // len(found)))


def _wrapped(text: str, inches: float, size: float, *, bold: bool) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        for piece in _pieces(word, inches, size, bold=bold):
            joined = f"{lines[-1]} {piece}" if lines[-1] else piece
            if fonts.text_width(joined, size, bold=bold) <= inches:
                lines[-1] = joined
            else:
                lines.append(piece)
    return [line for line in lines if line]


def _pieces(word: str, inches: float, size: float, *, bold: bool) -> list[str]:
    """Cut a word that is wider than a line."""

    def width(end: int) -> float:
        return fonts.text_width(word[:end], size, bold=bold)

    if len(word) <= 1 or width(len(word)) <= inches:
        return [word]
    fits = max(1, bisect_left(range(1, len(word)), inches, key=width))
    return [word[:fits], *_pieces(word[fits:], inches, size, bold=bold)]
