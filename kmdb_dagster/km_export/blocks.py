"""From chunks of a file to blocks of whole lines. Knows where lines end, not what stands on them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

BLOCK_BYTES = 64 * 1024
"""A block has no more bytes, unless it is one line: enough lines to read at once, few enough for the caches."""

KEPT_OF_OVERLONG = 64 * 1024
"""How much of a line that is too long is kept."""


class Overlong(NamedTuple):
    """The beginning of a line that is longer than the limit; the rest was let go."""

    head: bytes


def blocks(chunks: Iterable[bytes], limit: int) -> Iterator[bytes | Overlong]:
    """Cuts chunks into blocks of whole lines, each with its newline. A last line that has none is given one.

    Args:
        chunks: One file, cut anywhere.
        limit: The longest line to hold, without its newline; never is more of a line buffered between two chunks.

    Yields:
        One or more whole lines, or one line that is too long.
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
    """Cuts ``chunk[start:last]``, where ``last`` is the place of its last newline."""
    while start <= last:
        end = chunk.rfind(b"\n", start, start + BLOCK_BYTES)
        if end < 0:  # one line, longer than a block
            end = chunk.find(b"\n", start)
        if end - start <= limit:
            yield chunk[start : end + 1]
        else:
            for line in chunk[start:end].split(b"\n"):
                yield line + b"\n" if len(line) <= limit else Overlong(line[:KEPT_OF_OVERLONG])
        start = end + 1


class _Pending:
    """A line whose end has not come yet."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._overlong = False

    def __bool__(self) -> bool:
        return bool(self._held)

    def add(self, piece: bytes) -> None:
        """Takes more of the line; no more is ever held than the limit, or than is kept of a line beyond it."""
        if not self._overlong and len(self._held) + len(piece) > self._limit:
            self._overlong = True
            del self._held[KEPT_OF_OVERLONG:]
        self._held += piece[: KEPT_OF_OVERLONG - len(self._held)] if self._overlong else piece

    def take(self) -> bytes | Overlong:
        """The line with its newline, now that it has ended; the next one begins."""
        if not self._overlong:
            self._held += b"\n"
        line = bytes(self._held)
        found = Overlong(line) if self._overlong else line
        self._held.clear()
        self._overlong = False
        return found
