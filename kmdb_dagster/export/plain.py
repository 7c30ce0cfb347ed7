r"""The fast path: plain lines, read a block at a time by orjson. What it may not decide, it leaves to the careful path.

A plain line is strict JSON, perhaps with octal escapes, holding strings and a whole number for ``_t``, as KM writes
nearly all of them. Whatever is read here, the careful path reads in the same way; the tests hold the two together.

For a plain line hardly anything but C code runs, which is what makes this fast (docs/decisions/0006): a question such
as "is this a whole number?" is asked of all lines of a block, and of each only where the answer is no.
"""

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import accumulate, chain, pairwise, repeat
from types import NoneType
from typing import Any

import numpy as np
import orjson

from kmdb_dagster.export.fields import MAX_T
from kmdb_dagster.export.records import Alias, Facts, Record

Careful = Callable[[int, bytes], list[Record]]
"""The careful path: the number of a line and the line, to its records."""

_OCTAL_RUN = re.compile(rb"(?:\\[23][0-7]{2})+")
"""Octal escapes of bytes outside ASCII."""
_BYTES = {b"%o" % byte: bytes((byte,)) for byte in range(0o200, 0o400)}

_MISLEADING = (rb"\u0000", rb"\u005f", rb"\u005F")
"""NUL, which is not kept, and an underscore that would hide a system field."""

_MARK = b'"_'
_MARK_AS_NUMBER = int.from_bytes(_MARK, "little")

_SAYS_NOTHING = {"_t": 1, "_p": "nobody"}
"""Stands for a line that cannot be read. All is well with it, but that it says nothing: so it is no fact."""


def read_plain(block: bytes, first: int, careful: Careful) -> Iterator[Facts | Record]:
    r"""Reads a block of lines, the plain ones of them fast.

    Args:
        block: Lines joined by ``\n``, short enough that none can have more properties than are allowed.
        first: The number of the first line.
        careful: What reads the lines that are not plain.

    Yields:
        All that the lines say, in order.
    """
    return _Block(block, first).read(careful)


class _Block:
    """Lines, with their fields as columns. A line is known by its place in the block, from 0."""

    def __init__(self, text: bytes, first: int) -> None:
        self._text = text
        self._first = first
        strict, self._misleads = _without_octal(text)
        rows = self._rows = _rows(strict)
        self._times, self._identities, self._names = _taken(rows, "_t"), _taken(rows, "_p"), _taken(rows, "_n")
        # What is left in the rows are properties.
        self._counts = list(map(len, rows))
        self._keys = list(chain.from_iterable(rows))
        self._values = list(chain.from_iterable(map(dict.values, rows)))

    def read(self, careful: Careful) -> Iterator[Facts | Record]:
        others = self._others()
        aliases = {at for at in others if self._is_alias(at)}
        doubtful = self._doubtful(others - aliases, aliases)
        start = 0
        for at in sorted(others | doubtful):
            if start < at:
                yield self._facts(start, at)
            if at in aliases and at not in doubtful:
                yield Alias(self._first + at, self._identities[at], self._rows[at]["_p2"], self._times[at])
            else:
                yield from careful(self._first + at, self._line(at))
            start = at + 1
        if start < len(self._rows):
            yield self._facts(start, len(self._rows))

    def _facts(self, start: int, end: int) -> Facts:
        lines, members = slice(start, end), slice(self._ends[start], self._ends[end])
        fields = (self._identities[lines], self._times[lines], self._names[lines])
        properties = (self._counts[lines], self._keys[members], self._values[members])
        return Facts(self._first + start, *fields, *properties, len(self._text) * (end - start) // len(self._rows))

    @cached_property
    def _ends(self) -> list[int]:
        """Where the properties of each line begin, and where the last one's end."""
        return list(accumulate(self._counts, initial=0))

    @cached_property
    def _cuts(self) -> list[int]:
        return _cuts(self._text)

    def _line(self, at: int) -> bytes:
        return self._text[self._cuts[at] + 1 : self._cuts[at + 1]]

    def _others(self) -> set[int]:
        """The lines that are neither a plain event nor a plain property set, as their fields show."""
        times, identities, names = self._times, self._identities, self._names
        # An event has a name. What has none is looked at by itself.
        found = {at for at, name in enumerate(names) if not name and not _sets_properties(name, self._rows[at])}
        if not {str, NoneType}.issuperset(map(type, names)):
            found.update(at for at, name in enumerate(names) if name and type(name) is not str)
        if {int} != set(map(type, times)) or min(times) < 1 or max(times) > MAX_T:
            found.update(at for at, t in enumerate(times) if not _is_time(t))
        if {str} != set(map(type, identities)) or not all(map(str.strip, identities)):
            found.update(at for at, identity in enumerate(identities) if not _is_identity(identity))
        if not {str}.issuperset(map(type, self._values)):
            found.update(at for at, row in enumerate(self._rows) if not {str}.issuperset(map(type, row.values())))
        return found

    def _is_alias(self, at: int) -> bool:
        row = self._rows[at]
        ends = (self._identities[at], row.get("_p2"))
        return len(row) == 1 and self._names[at] is None and _is_time(self._times[at]) and all(map(_is_identity, ends))

    def _doubtful(self, careful: set[int], aliases: set[int]) -> set[int]:
        """The lines in which the parser may have hidden something: a system field behind another of its name.

        A system field is written with a mark, `"_`. If there are no more marks than fields, nothing is hidden.
        """
        found: set[int] = set()
        if self._misleads:
            found.update(at for at in range(len(self._rows)) if any(map(self._line(at).__contains__, _MISLEADING)))
        expected = 3 * len(self._rows) - self._names.count(None) + len(aliases)
        expected += sum(self._line(at).count(_MARK) - 2 - (self._names[at] is not None) for at in careful)
        if _marks(self._text) != expected:
            places = (at for at in range(len(self._rows)) if at not in careful)
            found.update(at for at in places if self._line(at).count(_MARK) != self._marks_of(at, aliases))
        return found

    def _marks_of(self, at: int, aliases: set[int]) -> int:
        """How many marks a line has if nothing is hidden. Properties, as those of phones, may begin with one too."""
        properties = sum(name.startswith("_") for name in self._rows[at] if name != "_p2")
        return 2 + (self._names[at] is not None) + properties + (at in aliases)


def _rows(text: bytes) -> list[dict[str, Any]]:
    """The members of each line."""
    rows = _together(text)
    if rows is None:
        cuts = _cuts(text)
        rows = [_alone(text[before + 1 : end]) for before, end in pairwise(cuts)]
    if set(map(type, rows)) != {dict}:
        rows = [row if type(row) is dict else _SAYS_NOTHING.copy() for row in rows]
    return rows


def _together(text: bytes) -> list[Any] | None:
    r"""The lines as one array, parsed at once. None if that fails, or may have mixed them up.

    Between two lines come a newline, which no string may hold, and a 0, which no object may have for a name. So,
    without a ``[``, no line can reach into the next, and each is one value if there are as many as there should be.
    """
    if b"[" in text:
        return None
    joined = text.replace(b"\n", b",\n0,")
    newlines = (len(joined) - len(text)) // len(b",0,")
    try:
        values = orjson.loads(b"[%b]" % joined)
    except ValueError:
        return None
    return values[::2] if len(values) == 2 * newlines + 1 else None


def _alone(line: bytes) -> Any:  # noqa: ANN401 (as orjson.loads)
    try:
        return orjson.loads(line)
    except ValueError:
        return None


def _without_octal(text: bytes) -> tuple[bytes, bool]:
    """The text with bytes in the place of octal escapes, and whether other escapes in it mislead. All else stays."""
    out: list[bytes] = []
    start, misleads = 0, False
    at = text.find(b"\\")
    while at >= 0:
        run = _OCTAL_RUN.match(text, at)
        if run:
            out += text[start:at], b"".join(map(_BYTES.__getitem__, run[0][1:].split(b"\\")))
            start = at = run.end()
        else:  # another pair: its second half begins no escape
            misleads = misleads or text.startswith(_MISLEADING, at)
            at += 2
        at = text.find(b"\\", at)
    return b"".join((*out, text[start:])) if out else text, misleads


def _cuts(text: bytes) -> list[int]:
    """The place before each line, where a newline is but for the first, and the end of the text."""
    cuts, at = [-1], text.find(b"\n")
    while at >= 0:  # `bytes.split` is slower: it looks at every byte by itself
        cuts.append(at)
        at = text.find(b"\n", at + 1)
    return [*cuts, len(text)]


def _marks(text: bytes) -> int:
    """`text.count(_MARK)`, a few times faster: pairs of bytes are compared as numbers, from even and odd places."""
    if len(text) <= len(_MARK):
        return text.count(_MARK)
    pairs = (np.frombuffer(text, "<u2", (len(text) - start) // 2, start) for start in (0, 1))
    return sum(int(np.count_nonzero(numbers == _MARK_AS_NUMBER)) for numbers in pairs)


def _taken(rows: list[dict[str, Any]], name: str) -> list[Any]:
    """A field of every line, taken out of it; None where there is none."""
    return list(map(dict.pop, rows, repeat(name), repeat(None)))


def _is_time(value: object) -> bool:
    return type(value) is int and 0 < value <= MAX_T


def _is_identity(value: object) -> bool:
    return type(value) is str and bool(value.strip())


def _sets_properties(name: object, properties: dict[str, Any]) -> bool:
    return name is None and bool(properties) and "_p2" not in properties
