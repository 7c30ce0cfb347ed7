"""Escape untrusted text for its output: a terminal, Markdown, CSV for spreadsheets, labels of charts.

Names and values of an export come from visitors of a site. Each kind of output interprets some characters; each has
its function here, and no other module escapes text. All functions are pure. The octal escapes of an export are decoded
in `km_export.lenient_json`.
"""

import re
import unicodedata
from collections.abc import Iterable

from rich.cells import cell_len, chop_cells

MAX_LABEL_CELLS = 28

_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters (C0 except the newline, and C1), line separators, and marks that change the text direction."""

_MARKDOWN = re.compile(r"[\\`*_{}\[\]()#+\-.!|~$:@/=^\"']")
"""Characters with a meaning in Markdown, in its extensions, or in addresses that Markdown links automatically."""

_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)

_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a formula in Excel, LibreOffice and Google Sheets, and their full-width forms."""


def for_terminal(text: str) -> str:
    """Replace control characters by the escapes of JSON. Newlines stay."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def for_terminal_line(text: str) -> str:
    """Escape control characters and newlines, so a name cannot imitate a line of the program."""
    return for_terminal(text).replace("\n", "\\n")


def for_markdown(text: str) -> str:
    """Escape text so that Markdown shows it unchanged, without links, images, HTML, formulas or table cells."""
    visible = for_terminal_line(text)
    html = re.sub("[&<>]", lambda found: _HTML[found[0]], _MARKDOWN.sub(r"\\\g<0>", visible))
    # Some renderers link addresses even if their characters are escaped, so break up the start of the address.
    return re.sub(r"(?i)\b(www|https?|ftp|mailto|xmpp)(?=\\[.:])", "\\1\u200b", html)


def for_markdown_code(text: str, language: str = "") -> str:
    """Return a fenced code block. Its fence is longer than any run of backticks in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{for_terminal(text)}\n{fence}"


def for_markdown_inline_code(text: str) -> str:
    """Return inline code. Its fence is longer than any run of backticks in the text."""
    line = for_terminal_line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"`{line}`"


def for_markdown_table(rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table. The first row is the header."""
    header, *others = [[for_markdown(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *others))


def for_csv_cell(text: str) -> str:
    """Escape a CSV cell against formulas of spreadsheets and control characters. Numbers stay unchanged.

    An apostrophe precedes text that would start a formula. Control characters, also tabs and line breaks, are escaped,
    so each row is one line.
    """
    visible = for_terminal_line(text)
    return f"'{visible}" if visible.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(visible) else visible


def for_label(text: str, max_cells: int = MAX_LABEL_CELLS) -> str:
    """Return a short line for a label of a chart. The middle of a long text becomes ``…``.

    Args:
        text: A name or a value.
        max_cells: The maximum width in terminal cells. Chinese, Japanese, Korean and emoji take two cells each.
    """
    line = " ".join(for_terminal_line(unicodedata.normalize("NFC", text)).split())
    if cell_len(line) <= max_cells:
        return line
    tail = (max_cells - 1) // 3
    start, end = chop_cells(line, max_cells - 1 - tail)[0], chop_cells(line[::-1], tail)[0][::-1]
    return f"{start}…{end}"
