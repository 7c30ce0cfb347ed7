"""Fonts for every character that a name may have, and text that is drawn literally.

matplotlib reads text between two dollar signs as TeX, so a price would fail or be garbled. Its own font has no Chinese,
Japanese or Korean characters and few emoji: Debian's packages `PACKAGES` have them. Other users of matplotlib in the
same process keep their settings.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT = "DejaVu Sans"
"""Comes with matplotlib."""
PACKAGES = "fonts-droid-fallback fonts-symbola"
FALLBACKS = (
    ("DroidSansFallbackFull.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "Arial Unicode.ttf", "msyh.ttc"),
    ("Symbola_hint.ttf", "Symbola.ttf", "NotoEmoji-Regular.ttf", "seguisym.ttf"),
)
"""Font files; the first one found of each group is used. Groups: Chinese, Japanese and Korean; emoji and symbols.

Colour fonts are not among them: matplotlib draws outlines.
"""
POINTS_PER_INCH = 72
MISSING_GLYPH_WARNING = "Glyph .* missing from"
"""matplotlib's warning about a character without a font. It shows the character, which is part of a name or value."""
INVISIBLE = frozenset("\n\t \u200b\u200c\u200d\ufe0e\ufe0f")


@cache
def families() -> tuple[str, ...]:
    """Return the font families of this machine, in the order in which characters are looked up."""
    from matplotlib import font_manager

    # It reports each time that a fallback font has no bold face.
    logging.getLogger(font_manager.__name__).setLevel(logging.ERROR)
    installed = {Path(path).name: path for path in font_manager.findSystemFonts()}
    paths = [next((installed[name] for name in group if name in installed), None) for group in FALLBACKS]
    found = [DEFAULT]
    for path in filter(None, paths):
        # matplotlib's list of fonts on disk may be older than the font.
        font_manager.fontManager.addfont(path)
        found.append(font_manager.get_font(path).family_name)
    return tuple(found)


@cache
def _drawable_characters() -> frozenset[str]:
    from matplotlib import font_manager

    files = [font_manager.findfont(font_manager.FontProperties(family=family)) for family in families()]
    return INVISIBLE.union(*({chr(code) for code in font_manager.get_font(file).get_charmap()} for file in files))


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Measure one line of text, in inches; ``size`` is in points.

    Args:
        text: One line.
        size: Font size in points.
        bold: Whether it is bold.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    look = FontProperties(family=families(), size=size, weight="bold" if bold else "normal")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING_GLYPH_WARNING, UserWarning)
        width, _, _ = text_to_path.get_text_width_height_descent(text, look, ismath=False)
    return float(width) / POINTS_PER_INCH


@contextmanager
def literal_text() -> Iterator[None]:
    """Draw text literally while this lasts: no TeX, and a box without a warning for a character without a font."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False, "font.family": list(families())}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING_GLYPH_WARNING, UserWarning)
        yield


def missing_font_notes(figure: "Figure", *more: str) -> list[str]:
    """Return a note on how to install fonts, if a character of the figure or of ``more`` has none; else nothing."""
    from matplotlib.text import Text

    texts = [found.get_text() for found in figure.findobj(Text) if isinstance(found, Text)]
    if _drawable_characters().issuperset("".join([*texts, *more])):
        return []
    return [f"Boxes: no font here has the character. On Debian: apt-get install {PACKAGES}"]
