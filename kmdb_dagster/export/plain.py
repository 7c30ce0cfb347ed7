"""The fast path: plain lines, read by orjson. What it may not decide, it leaves to the careful path.

A plain line is strict JSON, perhaps with octal escapes, holding strings and a whole number for ``_t``, as KM writes
nearly all of them. Whatever is read here, the careful path reads in the same way; the tests hold the two together.
"""

import re
from collections.abc import Callable
from typing import Any

import orjson

from kmdb_dagster.export.fields import MAX_T
from kmdb_dagster.export.records import Alias, Event, PropertySet, Record

Careful = Callable[[int, bytes], list[Record]]
"""The careful path: the number of a line and the line, to its records."""

# A run of octal escapes of bytes outside ASCII; or any other backslash pair, so that the second half of a pair never
# begins an escape.
_OCTAL_RUN = re.compile(rb"\\(?:([23][0-7]{2}(?:\\[23][0-7]{2})*)|.)", re.DOTALL)
_OCTAL_BYTES = {b"%o" % byte: bytes((byte,)) for byte in range(0o200, 0o400)}

_BACKSLASH = ord("\\")  # a number is found in bytes faster than bytes are

# NUL, which is not kept, and an underscore that would hide a second system field.
_MISLEADING = re.compile(rb"\\u00(?:00|5[fF])")


def read_plain(  # noqa: C901 (one loop, see below)
    block: bytes, first: int, careful: Careful
) -> list[Record]:
    r"""Reads a block of lines, the plain ones of them fast.

    Args:
        block: Lines joined by ``\n``, short enough that none can have more properties than are allowed.
        first: The number of the first line.
        careful: What reads the lines that are not plain.

    Returns:
        The records of all the lines, in order.
    """
    records: list[Record] = []
    append, loads, new = records.append, orjson.loads, tuple.__new__  # `new` is faster than calling the class
    marks = 0  # how often `"_` stands in the block, if no system field comes twice
    # One long loop, because it runs for every line of an export: a call would take longer than what it does.
    for number, line in enumerate(block.split(b"\n"), first):
        try:
            row = loads(line)
        except ValueError:
            row = _with_octal(line)
        try:
            t, identity, name = row.pop("_t"), row.pop("_p"), row.pop("_n", None)
        except (KeyError, AttributeError, TypeError):
            t = None
        if (
            type(t) is int
            and 0 < t <= MAX_T
            and type(identity) is str
            and identity
            and not identity.isspace()
            and (_BACKSLASH not in line or not _MISLEADING.search(line))
        ):
            for value in row.values():
                if type(value) is not str:
                    break
            else:
                if "_p2" not in row:
                    if type(name) is str and name:
                        append(new(Event, (number, identity, t, name, row)))
                        marks += 3
                        continue
                    if name is None and row:
                        append(new(PropertySet, (number, identity, t, row)))
                        marks += 2
                        continue
                elif name is None and len(row) == 1 and row["_p2"].strip():
                    append(Alias(number, identity, row["_p2"], t))
                    marks += 3
                    continue
        others = careful(number, line)
        marks += line.count(b'"_') - _underscored(others)  # _accounts_for counts these with all others
        records += others
    return records if _accounts_for(marks, block, records) else _one_by_one(block, first, careful)


def _with_octal(line: bytes) -> Any:  # noqa: ANN401 (as orjson.loads, whose place it takes)
    """What a line is that strict JSON refuses: read if octal escapes are all that it refused, else None."""
    text = _OCTAL_RUN.sub(_bytes_of_run, line)
    try:
        return orjson.loads(text) if len(text) < len(line) else None
    except ValueError:
        return None


def _bytes_of_run(run: re.Match[bytes]) -> bytes:
    return b"".join(map(_OCTAL_BYTES.__getitem__, run[1].split(b"\\"))) if run[1] else run[0]


def _accounts_for(marks: int, block: bytes, records: list[Record]) -> bool:
    """Whether every `"_` of a block is known: then no system field is hidden behind another of its name."""
    if block.count(b"_") == marks:  # the faster question; there are never fewer of these
        return True
    found = block.count(b'"_')
    return found == marks or found == marks + _underscored(records)


def _underscored(records: list[Record]) -> int:
    """How many properties begin with an underscore, as those of phones do: these stand in the block too."""
    rows = [record.properties for record in records if isinstance(record, Event | PropertySet)]
    return sum(name.startswith("_") for row in rows for name in row)


def _one_by_one(block: bytes, first: int, careful: Careful) -> list[Record]:
    """Reads a block in which a system field may come twice. Where it may, the careful path decides."""
    lines = block.split(b"\n")
    if len(lines) == 1:
        return careful(first, block)
    return [record for number, line in enumerate(lines, first) for record in read_plain(line, number, careful)]
