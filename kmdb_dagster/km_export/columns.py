"""The contents of many lines as columns: arrays of bytes and numbers, without a Python object for each value."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from kmdb_dagster.km_export.records import Alias, Event, PropertySet, Typed, Value


@dataclass(slots=True)
class Texts:
    """A column of texts: their concatenated UTF-8, and the length of each in bytes, -1 for no text."""

    data: bytearray = field(default_factory=bytearray)
    lengths: "array[int]" = field(default_factory=lambda: array("i"))

    def append(self, text: str | bytes | None) -> None:
        """Append a text. Bytes must be UTF-8."""
        encoded = text.encode() if isinstance(text, str) else text
        self.data += encoded or b""
        self.lengths.append(-1 if encoded is None else len(encoded))

    def extend(self, more: "Texts") -> None:
        """Append another column."""
        self.data += more.data
        self.lengths += more.lengths

    def skip(self, count: int) -> None:
        """Append this many rows without a text."""
        self.lengths += array("i", [-1]) * count

    def __iter__(self) -> Iterator[str | None]:
        """Yield the texts as strings, None for no text."""
        at = 0
        for length in self.lengths:
            yield None if length < 0 else self.data[at : at + length].decode()
            at += max(length, 0)


class Columns(NamedTuple):
    """The records of consecutive lines: one event, property set or alias for each line.

    A line with an alias is an alias, one with a name is an event, any other is a property set. ``keys`` and ``values``
    hold the properties of all lines, ``counts`` their number for each line. ``first`` is the number of the first line.
    ``times`` are seconds since 1970, UTC. ``numbers`` are the indexes of values that are JSON numbers; all others are
    JSON strings.
    """

    first: int
    times: "array[int]"
    identities: Texts
    names: Texts
    aliases: Texts
    counts: "array[int]"
    keys: Texts
    values: Texts
    numbers: list[int]

    def records(self) -> Iterator[Event | PropertySet | Alias]:
        """Yield one record for each line."""
        values: list[Value] = [value or "" for value in self.values]
        for place in self.numbers:
            values[place] = Typed("number", str(values[place]))
        members = zip(self.keys, values, strict=True)
        columns = zip(self.times, self.identities, self.names, self.aliases, self.counts, strict=True)
        for line, (t, identity, name, alias, count) in enumerate(columns, self.first):
            properties: dict[str, Value] = {key or "": value for key, value in islice(members, count)}
            if alias is not None:
                yield Alias(line, identity or "", alias, t)
            elif name is not None:
                yield Event(line, identity or "", t, name, properties)
            else:
                yield PropertySet(line, identity or "", t, properties)
