"""Escape text of strangers for what reads it next: a terminal, Markdown, a spreadsheet, a picture's label.

Names and values in an export come from visitors of a site. Each kind of reader takes some characters as instructions;
each has its function here, and no other module escapes by itself. Pure.
"""

import re
import unicodedata
from collections.abc import Iterable

from rich.cells import cell_len, chop_cells

MAX_LABEL_CELLS = 28

_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters of 7 and 8 bits except the newline, line separators, and marks that turn the direction of text."""

_MARKDOWN = re.compile(r"[\\`*_{}\[\]()#+\-.!|~$:@/=^\"']")
"""Characters with a meaning in Markdown, in its extensions, or in addresses that Markdown links by itself."""

_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)

_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a formula in Excel, LibreOffice and Google Sheets, and their full-width forms."""


def for_terminal(text: str) -> str:
    """Write control characters as JSON and Python do; newlines stay."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def for_terminal_line(text: str) -> str:
    """The same, with newlines written out too: a name cannot imitate a line of the program."""
    return for_terminal(text).replace("\n", "\\n")


def for_markdown(text: str) -> str:
    """Text that a Markdown renderer shows as it is: no link, image, HTML, formula or table cell comes of it."""
    visible = for_terminal_line(text)
    html = re.sub("[&<>]", lambda found: _HTML[found[0]], _MARKDOWN.sub(r"\\\g<0>", visible))
    # Some renderers turn addresses into links even where their characters are escaped: break the two ways they start.
    return re.sub(r"(?i)\b(www|https?|ftp|mailto|xmpp)(?=\\[.:])", "\\1\u200b", html)


def for_markdown_code(text: str, language: str = "") -> str:
    """A fenced code block whose fence is longer than any run of backticks in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{for_terminal(text)}\n{fence}"


def for_markdown_inline_code(text: str) -> str:
    """The same within a line."""
    line = for_terminal_line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"`{line}`"


def for_markdown_table(rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; the first row is the header."""
    header, *others = [[for_markdown(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *others))


def for_csv_cell(text: str) -> str:
    """A cell that no spreadsheet computes and no terminal obeys; one that is a number stays as it is.

    An apostrophe comes before what would start a formula. Control characters, also a tab or a line break before a
    formula, are written out, so a row is a line.
    """
    visible = for_terminal_line(text)
    return f"'{visible}" if visible.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(visible) else visible


def for_label(text: str, most: int = MAX_LABEL_CELLS) -> str:
    """A short line for a picture: control characters are visible, long text loses its middle.

    Args:
        text: A name or a value.
        most: The room, in cells of a terminal; Chinese, Japanese, Korean and emoji take two each.
    """
    line = " ".join(for_terminal_line(unicodedata.normalize("NFC", text)).split())
    if cell_len(line) <= most:
        return line
    tail = (most - 1) // 3
    start, end = chop_cells(line, most - 1 - tail)[0], chop_cells(line[::-1], tail)[0][::-1]
    return f"{start}…{end}"
