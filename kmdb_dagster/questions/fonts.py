"""Fonts for whatever characters a name has, and text that is drawn as it is.

matplotlib reads text between two dollar signs as TeX, so a price would fail or be garbled. Its own font has no Chinese,
Japanese or Korean and few emoji: Debian's packages `PACKAGES` have them. Nothing here changes matplotlib for others.
"""

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
"""Files of fonts, of each group the first that is there: for Chinese, Japanese and Korean; for emoji and symbols.

Colour fonts are not among them: matplotlib draws outlines.
"""
POINTS_PER_INCH = 72
MISSING = "Glyph .* missing from"
"""matplotlib's warning about a character without a font. It names the character, which is part of a name or a value."""
INVISIBLE = frozenset("\n\t \u200b\u200c\u200d\ufe0e\ufe0f")


@cache
def families() -> tuple[str, ...]:
    """The families of fonts that are there, in the order in which a character is looked for."""
    from matplotlib import font_manager

    there = {Path(path).name: path for path in font_manager.findSystemFonts()}
    paths = [next((there[name] for name in group if name in there), None) for group in FALLBACKS]
    found = [DEFAULT]
    for path in filter(None, paths):
        # matplotlib keeps a list of fonts on disk, which may be older than the font.
        font_manager.fontManager.addfont(path)
        found.append(font_manager.get_font(path).family_name)
    return tuple(found)


@cache
def _covered() -> frozenset[str]:
    from matplotlib import font_manager

    files = [font_manager.findfont(font_manager.FontProperties(family=family)) for family in families()]
    return INVISIBLE.union(*({chr(code) for code in font_manager.get_font(file).get_charmap()} for file in files))


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of a line of text in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    look = FontProperties(family=families(), size=size, weight="bold" if bold else "normal")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING, UserWarning)
        across, _, _ = text_to_path.get_text_width_height_descent(text, look, ismath=False)
    return float(across) / POINTS_PER_INCH


@contextmanager
def text_as_it_is() -> Iterator[None]:
    """While this lasts, text is no TeX, and a character without a font is a box and no warning."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False, "font.family": list(families())}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING, UserWarning)
        yield


def missing(figure: "Figure", *more: str) -> list[str]:
    """What to say of characters that no font here has; nothing if there are none."""
    from matplotlib.text import Text

    texts = [found.get_text() for found in figure.findobj(Text) if isinstance(found, Text)]
    if _covered().issuperset("".join([*texts, *more])):
        return []
    return [f"Boxes: no font here has the character. On Debian: apt-get install {PACKAGES}"]
