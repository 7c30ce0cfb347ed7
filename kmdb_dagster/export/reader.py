"""Reads a revision: bytes in, records out, one line after the other. Docs: docs/reading-rules.md.

Only the walk through a file stands here. Lines are cut by ``blocks``; most are read by ``plain``, the rest by
``lenient`` and ``fields``.
"""

from collections.abc import Iterable, Iterator

from kmdb_dagster.export.blocks import BLOCK_BYTES, Overlong, blocks
from kmdb_dagster.export.fields import read_careful
from kmdb_dagster.export.plain import read_plain
from kmdb_dagster.export.records import Facts, Reason, Record, Rejected

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
        if isinstance(found, Facts):
            yield from found.records()
        else:
            yield found


def read_columns(chunks: Iterable[bytes], *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Facts | Record]:
    """Reads the lines of one revision several at a time, where they are plain. Otherwise the same as `read_lines`."""
    number = 1
    for block in blocks(chunks, max_line_bytes):
        for found in _read(block, number):
            yield found
            number = found.first + len(found.times) if isinstance(found, Facts) else found.line + 1


def _read(block: bytes | Overlong, number: int) -> Iterable[Facts | Record]:
    if isinstance(block, Overlong):
        return [Rejected(number, Reason.LINE_TOO_LONG, block.head)]
    if len(block) > BLOCK_BYTES:  # one line, and so long that it may have too many properties
        return read_careful(number, block)
    return read_plain(block, number, read_careful)
