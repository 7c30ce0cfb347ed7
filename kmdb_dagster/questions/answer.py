"""What comes back from a question: a frame, and all that a person needs to believe it. Words and formats only."""

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kmdb_dagster.charts.style import entitle
from kmdb_dagster.escaping import for_csv_cell, for_markdown, for_markdown_table
from kmdb_dagster.questions import fonts
from kmdb_dagster.questions.span import Span, in_words, rounded

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

MOST_ROWS = 50
"""Rows of a frame that are shown; the frame has them all."""
COLOURS_OF_A_PNG = 128
SMALLEST_P = 0.0001
SMALLEST_SHOWN = 0.01
LENGTHS = ("quarter", "median", "three_quarters", "nine_in_ten")
SHARES = (
    "share",
    "of_first",
    "of_step_before",
    "rate",
    "low",
    "high",
    "gain",
    "gain_low",
    "gain_high",
)


@dataclass(frozen=True)
class Answer:
    """An answer. ``frame`` is a Polars frame; shares in it are from 0 to 1, times UTC, lengths of time seconds."""

    question: str
    finding: str
    """In one sentence, with its numbers."""
    number: float | None
    """The one number to follow from day to day, if there is one."""
    span: Span
    frame: "pl.DataFrame"
    sql: tuple[str, ...]
    """The statements that the server answered."""
    caveats: tuple[str, ...]
    """What the numbers do not say."""
    draw: Callable[["Figure"], None]
    """Draws the picture below its title."""

    def figure(self) -> "Figure":
        """The picture, as a matplotlib figure."""
        from matplotlib.figure import Figure

        with fonts.text_as_it_is():
            figure = Figure()
            self.draw(figure)
            foot = "   ".join([str(self.span), *fonts.missing(figure, self.question, self.finding)])
            entitle(figure, self.question, self.finding, foot)
        return figure

    def picture(self, form: str = "png") -> bytes:
        """The picture as a file: ``png``, ``svg`` or ``pdf``."""
        file = io.BytesIO()
        # Without the time of day, so that the same answer is the same file.
        nameless: dict[str, dict[str, str | None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        with fonts.text_as_it_is():
            self.figure().savefig(file, format=form, metadata=nameless.get(form))
        return _with_few_colours(file) if form == "png" else file.getvalue()

    def markdown(self) -> str:
        """All of it, with the picture in it: for Dagster's UI."""
        image = base64.b64encode(self.picture()).decode()
        caveats = "".join(f"* {for_markdown(caveat)}\n" for caveat in self.caveats)
        return f"![{for_markdown(self.question)}](data:image/png;base64,{image})\n\n{self.table()}\n\n{caveats}"

    def table(self) -> str:
        """The frame as a table in Markdown."""
        return for_markdown_table(self.cells())

    def csv(self) -> str:
        """All rows of the frame as CSV that no spreadsheet computes and no terminal obeys."""
        import polars as pl

        return self.frame.with_columns(pl.col(pl.String).map_elements(for_csv_cell, pl.String)).write_csv()

    def cells(self) -> Iterator[list[str]]:
        """The frame as text for people: its columns, then rows."""
        columns = self.frame.columns
        yield [column.replace("_", " ") for column in columns]
        for row in self.frame.head(MOST_ROWS).iter_rows():
            yield [shown(column, value) for column, value in zip(columns, row, strict=True)]

    def _repr_png_(self) -> bytes:
        """For notebooks."""
        return self.picture()


def _with_few_colours(file: io.BytesIO) -> bytes:
    """A PNG of a quarter of the size: Dagster keeps every one of them."""
    from PIL import Image

    small = io.BytesIO()
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(COLOURS_OF_A_PNG, Image.Quantize.MAXCOVERAGE).save(small, "PNG", optimize=True)
    return small.getvalue()


def shown(column: str, value: Any) -> str:  # noqa: ANN401 - whatever frames hold
    """A value of a frame for people."""
    if value is None:
        return ""
    if column in SHARES:
        return f"{100 * value:.1f} %"
    if column in LENGTHS:
        return rounded(value)
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) >= SMALLEST_SHOWN else f"< {SMALLEST_SHOWN}"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "strftime") else str(value)


def percent(part: float, whole: float) -> str:
    """A share for people."""
    return f"{100 * part / whole:.1f} %" if whole else "none"


def in_p(p: float) -> str:
    """A p-value for people."""
    return f"p = {p:.2g}" if p >= SMALLEST_P else f"p < {SMALLEST_P}"


def total(numbers: "pl.Series") -> int:
    """Their sum."""
    return int(numbers.sum())


def unripe(span: Span, within: int) -> tuple[str, ...]:
    """The caveat on people who came so late that their time is not over."""
    if span.end + within <= span.known_end():
        return ()
    length = in_words(within).removeprefix("1 ")
    return (f"Who came in the last {length} of the data may yet go on; their time is not over.",)
