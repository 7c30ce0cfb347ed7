r"""Parse the members of a line of KM's JSON dialect and decode its escapes, octal ones too: half of the careful path.

KM's dialect differs from JSON inside strings only. A backslash and three octal digits are a byte. Unknown escapes and
control bytes stay as they are written. Strings stay bytes here, because the treatment of invalid UTF-8 depends on the
field. ``fields`` gives the members their meaning.
"""

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

from kmdb_dagster.km_export.records import Reason, Typed

MAX_DEPTH = 512
"""Maximum nesting of arrays and objects. The line's own object is the first level."""

Raw: TypeAlias = bytes | Typed
"""A parsed value: the bytes of a string, or a value of another type."""


class UnreadableError(Exception):
    """The line is rejected. The error holds the reason, and nothing of the line."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


# Possessive (`*+`, `++`) patterns never backtrack, so a string costs linear time.
_BODY = rb'"((?:[^"\\]++|\\.)*+)"'
_BLANKS = rb"[ \t\r]*+"
_VALUE = rb"%b(?:%b|(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)|(true|false|null)|([\[{]))" % (
    _BLANKS,
    _BODY,
)
_NAME = rb"%b%b%b:" % (_BLANKS, _BODY, _BLANKS)
_value = re.compile(b"()" + _VALUE, re.DOTALL)  # an empty name, so that the groups are the same
_name = re.compile(_NAME, re.DOTALL)
_member = re.compile(_NAME + _VALUE, re.DOTALL)
_next = re.compile(rb"%b([,\]}])" % _BLANKS)
_closed = re.compile(rb"%b([\]}])" % _BLANKS)
_NAMED, _STRING, _NUMBER, _WORD, _OPENING = 1, 2, 3, 4, 5  # the groups

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[0-3][0-7]{2}|.)", re.DOTALL
)
_MEANING = {b"\\%03o" % byte: bytes((byte,)) for byte in range(256)} | {
    b'\\"': b'"',
    b"\\\\": b"\\",
    b"\\/": b"/",
    b"\\b": b"\b",
    b"\\f": b"\f",
    b"\\n": b"\n",
    b"\\r": b"\r",
    b"\\t": b"\t",
}
_LONE_SURROGATE = b"\xff"  # never valid in UTF-8, so it is treated as any invalid byte


def members(text: bytes) -> Iterator[tuple[bytes, Raw]]:
    """Yield the members of the line's object in order, with duplicates.

    Raises:
        UnreadableError: The line is not one JSON object.
    """
    at = _opening(text)
    closed = _closed.match(text, at)
    while closed is None:
        member = _expect(_member, text, at)
        value, at = _value_of(member, text)
        yield unescaped(member[_NAMED]), value
        after = _expect(_next, text, at)
        closed, at = (None, after.end()) if after[1] == b"," else (after, at)
    if closed[1] != b"}":
        raise UnreadableError(Reason.INVALID_JSON)
    if closed.end() != len(text):
        raise UnreadableError(Reason.TRAILING_DATA)


def text_of(string: bytes) -> str:
    """Decode a string. Invalid bytes, lone surrogates and NUL become U+FFFD."""
    return string.decode("utf-8", "replace").replace("\0", "\ufffd")


def unescaped(body: bytes) -> bytes:
    """Return the bytes of a string whose body (between the quotes) may have escapes."""
    return _ESCAPE.sub(_meaning, body) if b"\\" in body else body


def _opening(text: bytes) -> int:
    """Return the index of the first member."""
    if text.startswith(b"{"):
        return 1
    _, end = _value_of(_expect(_value, text, 0), text)
    # A reader of rejected lines wants to know: valid JSON of another type, or damaged JSON.
    raise UnreadableError(Reason.NOT_AN_OBJECT if end == len(text) else Reason.INVALID_JSON)


def _expect(pattern: re.Pattern[bytes], text: bytes, at: int) -> re.Match[bytes]:
    found = pattern.match(text, at)
    if found is None:
        raise UnreadableError(Reason.INVALID_JSON)
    return found


def _value_of(found: re.Match[bytes], text: bytes) -> tuple[Raw, int]:
    """Return the value of a match, and its end, which is after the match for an array or object."""
    kind = found.lastindex
    if kind == _STRING:
        return unescaped(found[_STRING]), found.end()
    if kind == _OPENING:
        nested, end = _nested(text, found.start(_OPENING))
        return Typed("json", nested), end
    word = found[kind or 0].decode("ascii")
    if kind == _NUMBER:
        return Typed("number", word), found.end()
    return Typed("null", None) if word == "null" else Typed("boolean", word), found.end()


def _nested(text: bytes, at: int) -> tuple[str, int]:
    """Return an array or object as compact JSON, and its end. It uses a stack of its own instead of recursion."""
    out = bytearray()
    closers = bytearray()
    while True:
        value = _expect(_value, text, at)
        at = value.end()
        out += _compact(value)
        if value.lastindex == _OPENING:
            at, inside = _open(text, at, closers, value[_OPENING])
            if inside:
                at = _nested_name(text, at, closers, out)
                continue
        at = _after_value(text, at, closers, out)
        if not closers:
            return out.decode(), at
        at = _nested_name(text, at, closers, out)


def _open(text: bytes, at: int, closers: bytearray, bracket: bytes) -> tuple[int, bool]:
    """Push the closing bracket. Also return whether there is anything before it."""
    closers += b"]" if bracket == b"[" else b"}"
    if len(closers) >= MAX_DEPTH:
        raise UnreadableError(Reason.NESTING_TOO_DEEP)
    return at, _closed.match(text, at) is None


def _nested_name(text: bytes, at: int, closers: bytearray, out: bytearray) -> int:
    """Copy the name before a value, if the value is in an object."""
    if closers[-1:] == b"}":
        name = _expect(_name, text, at)
        at = name.end()
        out += _quoted(unescaped(name[_NAMED])) + b":"
    return at


def _after_value(text: bytes, at: int, closers: bytearray, out: bytearray) -> int:
    """Copy the closing brackets after a value, and the comma if there is one."""
    while closers:
        after = _expect(_next, text, at)
        at = after.end()
        out += after[1]
        if after[1] == b",":
            break
        if closers.pop() != after[1][0]:
            raise UnreadableError(Reason.INVALID_JSON)
    return at


def _compact(value: re.Match[bytes]) -> bytes:
    if value.lastindex == _STRING:
        return _quoted(unescaped(value[_STRING]))
    return value[value.lastindex or 0]


def _quoted(string: bytes) -> bytes:
    return json.dumps(text_of(string), ensure_ascii=False).encode()


def _meaning(escape: re.Match[bytes]) -> bytes:
    r"""Return the bytes of an escape: a backslash pair, an octal escape, or one or two ``\u``."""
    written = escape[0]
    known = _MEANING.get(written)
    if known is not None:
        return known
    if len(written) == 2:  # an unknown escape stays as it is
        return written
    units = b"".join(bytes.fromhex(unit.decode()) for unit in written.split(b"\\u")[1:])
    try:
        return units.decode("utf-16-be").encode()
    except UnicodeDecodeError:
        return _LONE_SURROGATE
