"""Split the chunks of a file into blocks of whole lines. What a line means is the subject of other modules."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

BLOCK_BYTES = 64 * 1024
"""Size limit of a block, unless it is a single line. It fits many lines, and fits the processor's caches."""

MAX_OVERLONG_BYTES = 64 * 1024
"""How many bytes of a line above the limit are kept."""


class Overlong(NamedTuple):
    """The first bytes of a line above the limit. The rest is dropped."""

    head: bytes


def blocks(chunks: Iterable[bytes], limit: int) -> Iterator[bytes | Overlong]:
    """Split chunks into blocks of whole lines, each with its newline. Add a newline to a last line without one.

    Args:
        chunks: The bytes of one file, split anywhere.
        limit: The longest line in bytes, without its newline. No more of a line is buffered between two chunks.

    Yields:
        One or more whole lines, or the head of one line above the limit.
    """
    pending = _Pending(limit)
    for chunk in chunks:
        start, last = 0, chunk.rfind(b"\n")
        if last >= 0 and pending:
            start = chunk.find(b"\n") + 1
            pending.add(chunk[: start - 1])
            yield pending.take()
        if start <= last:
            yield from _whole_lines(chunk, start, last, limit)
        pending.add(chunk[last + 1 :])
    if pending:
        yield pending.take()


def _whole_lines(chunk: bytes, start: int, last: int, limit: int) -> Iterator[bytes | Overlong]:
    """Split ``chunk[start:last]``, where ``last`` is the index of its last newline."""
    while start <= last:
        end = chunk.rfind(b"\n", start, start + BLOCK_BYTES)
        if end < 0:  # one line, longer than a block
            end = chunk.find(b"\n", start)
        if end - start <= limit:
            yield chunk[start : end + 1]
        else:
            for line in chunk[start:end].split(b"\n"):
                yield line + b"\n" if len(line) <= limit else Overlong(line[:MAX_OVERLONG_BYTES])
        start = end + 1


class _Pending:
    """A line whose newline is not read yet."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._overlong = False

    def __bool__(self) -> bool:
        return bool(self._held)

    def add(self, piece: bytes) -> None:
        """Append to the line. The buffer never exceeds the limit."""
        if not self._overlong and len(self._held) + len(piece) > self._limit:
            self._overlong = True
            del self._held[MAX_OVERLONG_BYTES:]
        self._held += piece[: MAX_OVERLONG_BYTES - len(self._held)] if self._overlong else piece

    def take(self) -> bytes | Overlong:
        """Return the complete line with its newline, and start the next one."""
        if not self._overlong:
            self._held += b"\n"
        line = bytes(self._held)
        found = Overlong(line) if self._overlong else line
        self._held.clear()
        self._overlong = False
        return found
