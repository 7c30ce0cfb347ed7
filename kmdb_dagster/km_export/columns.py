"""What many lines say, as columns: bytes and numbers beside one another, without a Python object for each value."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from kmdb_dagster.km_export.records import Alias, Event, PropertySet, Typed, Value


@dataclass(slots=True)
class Texts:
    """A column of texts: the UTF-8 of all, one after the other, and how many bytes each has; -1 where there is none."""

    data: bytearray = field(default_factory=bytearray)
    lengths: "array[int]" = field(default_factory=lambda: array("i"))

    def append(self, text: str | bytes | None) -> None:
        """One more. Bytes are taken as they are."""
        encoded = text.encode() if isinstance(text, str) else text
        self.data += encoded or b""
        self.lengths.append(-1 if encoded is None else len(encoded))

    def extend(self, more: "Texts") -> None:
        """All of another column."""
        self.data += more.data
        self.lengths += more.lengths

    def skip(self, count: int) -> None:
        """So many times no text."""
        self.lengths += array("i", [-1]) * count

    def __iter__(self) -> Iterator[str | None]:
        """The texts as strings."""
        at = 0
        for length in self.lengths:
            yield None if length < 0 else self.data[at : at + length].decode()
            at += max(length, 0)


class Columns(NamedTuple):
    """One event, property set or alias from each of some lines that follow one another.

    A line with an alias is an alias, another one with a name is an event, and one without is a property set. The
    properties of all lines stand together in ``keys`` and ``values``, and ``counts`` says how many each line has. All
    values were strings in the JSON, but for those at the places in ``numbers``.
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
        """The same, one by one."""
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
