"""Reads a revision: bytes in, records out, one line after the other. Docs: docs/reference/reading-rules.md.

Only the walk through a file stands here. Lines are cut by ``blocks``; most are read by ``plain``, the rest by
``lenient`` and ``fields``.
"""

from collections.abc import Generator, Iterable, Iterator

from kmdb_dagster.km_export.blocks import BLOCK_BYTES, Overlong, blocks
from kmdb_dagster.km_export.columns import Columns
from kmdb_dagster.km_export.fields import read_careful
from kmdb_dagster.km_export.plain import Scanner
from kmdb_dagster.km_export.records import Reason, Record, Rejected

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Longer lines are refused. KM's own limit for a value was 8 KB."""


def read_lines(chunks: Iterable[bytes], *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Record]:
    """Reads the lines of one revision one by one.

    Args:
        chunks: The file's bytes, cut anywhere. Chunks of 64 KiB to 1 MiB read fastest.
        max_line_bytes: The longest line that is read.

    Yields:
        The records of each line in order: one for nearly every line, two for an alias with an event or properties.
    """
    for found in read_columns(chunks, max_line_bytes=max_line_bytes):
        if isinstance(found, Columns):
            yield from found.records()
        else:
            yield found


def read_columns(chunks: Iterable[bytes], *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Columns | Record]:
    """Reads the lines of one revision several at a time, where they are plain. Otherwise the same as `read_lines`."""
    scanner = Scanner(BLOCK_BYTES)
    number = 1
    for block in blocks(chunks, max_line_bytes):
        if isinstance(block, Overlong):
            yield Rejected(number, Reason.LINE_TOO_LONG, block.head)
            number += 1
        else:
            number = yield from _read(scanner, block, number)


def _read(scanner: Scanner, block: bytes, number: int) -> Generator[Columns | Record, None, int]:
    """Reads a block by turns: plain lines, as far as there are any, and one that is not. Returns the next number."""
    at = 0
    while at < len(block):
        columns, at = scanner.read(block, at, number)
        if columns.times:
            yield columns
            number += len(columns.times)
        if at < len(block):
            end = block.index(b"\n", at)
            yield from read_careful(number, block[at:end])
            number, at = number + 1, end + 1
    return number
