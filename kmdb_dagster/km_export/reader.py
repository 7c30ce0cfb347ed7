"""Read the lines of a revision: bytes in, records out. The rules: docs/reference/reading-rules.md.

``blocks`` splits the lines. ``line_scanner`` (the fast path) reads most of them; ``lenient_json`` and ``fields`` (the
careful path) read the rest.
"""

from collections.abc import Generator, Iterable, Iterator

from kmdb_dagster.km_export.blocks import BLOCK_BYTES, Overlong, blocks
from kmdb_dagster.km_export.columns import Columns
from kmdb_dagster.km_export.fields import read_careful
from kmdb_dagster.km_export.line_scanner import Scanner
from kmdb_dagster.km_export.records import Reason, Record, Rejected

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Longer lines are rejected. KM's own limit for a value was 8 KB."""


def read_lines(chunks: Iterable[bytes], *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Record]:
    """Read the lines of one revision, one record at a time.

    Args:
        chunks: The file's bytes, split anywhere. Chunks of 64 KiB to 1 MiB are fastest.
        max_line_bytes: Longer lines are rejected.

    Yields:
        The records of each line in order: one for nearly every line, two for an alias with an event or properties.
    """
    for found in read_columns(chunks, max_line_bytes=max_line_bytes):
        if isinstance(found, Columns):
            yield from found.records()
        else:
            yield found


def read_columns(chunks: Iterable[bytes], *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Columns | Record]:
    """Read the lines of one revision as `read_lines` does, but plain lines many at a time, as columns."""
    scanner = Scanner(BLOCK_BYTES)
    number = 1
    for block in blocks(chunks, max_line_bytes):
        if isinstance(block, Overlong):
            yield Rejected(number, Reason.LINE_TOO_LONG, block.head)
            number += 1
        else:
            number = yield from _read(scanner, block, number)


def _read(scanner: Scanner, block: bytes, number: int) -> Generator[Columns | Record, None, int]:
    """Read a block: plain lines by the fast path, any other line by the careful path. Return the next number."""
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
