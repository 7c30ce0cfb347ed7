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
    if image_format == "png":
        return _png(figure)
    file = io.BytesIO()
    no_dates: dict[str, dict[str, str | None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(file, format=image_format, metadata=no_dates.get(image_format))
    return file.getvalue()


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


def _png(figure: "Figure") -> bytes:
    """Render a PNG of a quarter of the usual size, because Dagster stores each one in its history: of few colours.

    More effort of the compression (Pillow's ``optimize``) takes as long as drawing, for 5 % less.
    """
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DOTS_PER_INCH, pil_kwargs={"compress_level": 0})
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(COLOURS_OF_A_PNG, Image.Quantize.MAXCOVERAGE).save(small, "PNG")
    return small.getvalue()
