"""The answer to a question: a data frame, a finding, a picture, the SQL and the caveats, as text, Markdown or CSV."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kmdb_dagster.charts import fonts
from kmdb_dagster.charts.axes import add_title
from kmdb_dagster.charts.images import embed_png, render
from kmdb_dagster.charts.number_text import round_duration
from kmdb_dagster.output_escaping import for_csv_cell, for_markdown, for_markdown_table
from kmdb_dagster.questions.span import Span

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

MAX_SHOWN_ROWS = 50
"""Rows of the frame in a table. `Answer.frame` and `Answer.csv` have all of them."""
MIN_SHOWN_FLOAT = 0.01
DURATION_COLUMNS = ("quarter", "median", "three_quarters", "nine_in_ten")
SHARE_COLUMNS = ("share", "at_least", "ratio", "bounce", "of_first", "of_step_before", "rate", "low", "high")
GAIN_COLUMNS = ("gain", "gain_low", "gain_high")


@dataclass(frozen=True)
class Answer:
    """An answer. In ``frame``, shares are from 0 to 1, times are UTC, durations are in seconds."""

    question: str
    finding: str
    """One sentence with the most important numbers."""
    number: float | None
    """The number to plot from day to day, if there is one."""
    span: Span
    frame: "pl.DataFrame"
    sql: tuple[str, ...]
    """The statements that read the facts, on the server or in DuckDB."""
    caveats: tuple[str, ...]
    """What the numbers do not show, one sentence each."""
    draw: Callable[["Figure"], None]
    """Draws the chart; `figure` adds the title."""
    listed: int | None = None
    """How many people were written to a `PeopleList`; None: there is none."""
    read_from: str = ""
    """Where the facts were read, and the newest revision there, in a sentence."""

    def figure(self) -> "Figure":
        """Draw the picture as a matplotlib figure."""
        from matplotlib.figure import Figure

        with fonts.literal_text():
            figure = Figure()
            self.draw(figure)
            footer = "   ".join([str(self.span), *fonts.missing_font_notes(figure, self.question, self.finding)])
            add_title(figure, self.question, self.finding, footer)
        return figure

    def picture(self, image_format: str = "png") -> bytes:
        """Draw the picture as a file: ``png``, ``svg`` or ``pdf``."""
        with fonts.literal_text():
            return render(self.figure(), image_format)

    def markdown(self) -> str:
        """Write picture, table and caveats as Markdown, for Dagster's UI."""
        caveats = "".join(f"* {for_markdown(caveat)}\n" for caveat in self.caveats)
        return f"{embed_png(self.question, self.picture())}\n\n{self.table()}\n\n{caveats}"

    def table(self) -> str:
        """Write the first rows of the frame as a Markdown table."""
        return for_markdown_table(self.cells())

    def csv(self) -> str:
        """Write all rows of the frame as CSV, with formulas and control characters escaped."""
        import polars as pl

        return self.frame.with_columns(pl.col(pl.String).map_elements(for_csv_cell, pl.String)).write_csv()

    def cells(self) -> Iterator[list[str]]:
        """Yield the column names as text, then the first `MAX_SHOWN_ROWS` rows as text."""
        columns = self.frame.columns
        yield [column.replace("_", " ") for column in columns]
        for row in self.frame.head(MAX_SHOWN_ROWS).iter_rows():
            yield [format_cell(column, value) for column, value in zip(columns, row, strict=True)]

    def _repr_png_(self) -> bytes:
        """Show the picture in a notebook."""
        return self.picture()


def format_cell(column: str, value: Any) -> str:  # noqa: ANN401 - whatever frames hold
    """Write a value of a frame as text; the column's name decides its unit."""
    if value is None:
        return ""
    if column in SHARE_COLUMNS + GAIN_COLUMNS:
        return f"{100 * value:.1f} %"
    if column in DURATION_COLUMNS and isinstance(value, int):  # the median of a property is a float
        return round_duration(value)
    if isinstance(value, float):
        return f"< {MIN_SHOWN_FLOAT}" if column == "p" and value < MIN_SHOWN_FLOAT else f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "strftime") else str(value)


def int_sum(numbers: "pl.Series") -> int:
    """Sum a column as a Python int; 0 for an empty one."""
    return int(numbers.sum())
