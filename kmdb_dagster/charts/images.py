"""Charts as files and inside Markdown: PNG with few colours, SVG, PDF."""

import base64
import io
from typing import TYPE_CHECKING

from kmdb_dagster.output_escaping import for_markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS_OF_A_PNG = 128
DOTS_PER_INCH = 200
"""Of a PNG: two dots for each of a screen's, so that it is sharp on one with a high resolution and in print."""


def render(figure: "Figure", image_format: str = "png") -> bytes:
    """Render a figure as ``png``, ``svg`` or ``pdf``. The same figure gives the same bytes: no creation time."""
    file = io.BytesIO()
    no_dates: dict[str, dict[str, str | None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(file, format=image_format, dpi=DOTS_PER_INCH, metadata=no_dates.get(image_format))
    return _with_few_colours(file) if image_format == "png" else file.getvalue()


def embed_png(title: str, png: bytes) -> str:
    """Write a PNG as a Markdown image that needs no file and no server."""
    return f"![{for_markdown(title)}](data:image/png;base64,{base64.b64encode(png).decode()})"


def shrink_png(png: bytes, width: int) -> bytes:
    """Return a PNG of at most this width in pixels."""
    from PIL import Image

    small = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        picture = image.convert("RGB")
        picture.thumbnail((width, picture.height))
        picture.save(small, "PNG", optimize=True)
    return small.getvalue()


def _with_few_colours(file: io.BytesIO) -> bytes:
    """Reduce a PNG to a quarter of its size: Dagster stores each one in its history."""
    from PIL import Image

    small = io.BytesIO()
    with Image.open(file) as image:
        image.convert("RGB").quantize(COLOURS_OF_A_PNG, Image.Quantize.MAXCOVERAGE).save(small, "PNG", optimize=True)
    return small.getvalue()
