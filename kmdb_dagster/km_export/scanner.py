r"""The careful path's scanner: KM's not-quite-JSON, from the bytes of a line to its members.

It differs from strict JSON inside strings only: a backslash and three octal digits are a byte, other unknown
backslash pairs stay as they are written, and so do control bytes. Strings stay bytes here, since what becomes of bad
ones depends on the field. What the members mean is the business of ``fields``.
"""

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

from kmdb_dagster.km_export.records import Reason, Typed

MAX_DEPTH = 512
"""How deep arrays and objects may be nested, the line's own object being the first level."""

Raw: TypeAlias = bytes | Typed
"""A value before it has a meaning: the bytes of a string, or what is no string."""


class UnreadableError(Exception):
    """The line cannot be imported. Holds why, and nothing of the line."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


# Possessive (`*+`, `++`): what has matched is never tried again, so that a string costs its length and no more.
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
_LONE_SURROGATE = b"\xff"  # no byte of UTF-8, so that it is treated as bad bytes are


def members(text: bytes) -> Iterator[tuple[bytes, Raw]]:
    """The members of the object that a line is, in the order they are written, with all duplicates.

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
    """A string as text: bad bytes, lone surrogates and NUL become U+FFFD."""
    return string.decode("utf-8", "replace").replace("\0", "\ufffd")


def unescaped(body: bytes) -> bytes:
    """The bytes that stand between the quotes of a string."""
    return _ESCAPE.sub(_meaning, body) if b"\\" in body else body


def _opening(text: bytes) -> int:
    """Where the line's members begin."""
    if text.startswith(b"{"):
        return 1
    _, end = _value_of(_expect(_value, text, 0), text)
    # A whole value of another kind is told from a heap of broken pieces, for whoever looks at the refused lines.
    raise UnreadableError(Reason.NOT_AN_OBJECT if end == len(text) else Reason.INVALID_JSON)


def _expect(pattern: re.Pattern[bytes], text: bytes, at: int) -> re.Match[bytes]:
    found = pattern.match(text, at)
    if found is None:
        raise UnreadableError(Reason.INVALID_JSON)
    return found


def _value_of(found: re.Match[bytes], text: bytes) -> tuple[Raw, int]:
    """The value of a match, and where it ends: behind the match, if an array or object has only begun."""
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
    """An array or object as compact JSON text, and where it ends. Keeps its own stack: depth costs no recursion."""
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
    """Notes which bracket will close this one. Says whether anything stands between them."""
    closers += b"]" if bracket == b"[" else b"}"
    if len(closers) >= MAX_DEPTH:
        raise UnreadableError(Reason.NESTING_TOO_DEEP)
    return at, _closed.match(text, at) is None


def _nested_name(text: bytes, at: int, closers: bytearray, out: bytearray) -> int:
    """Copies the name before a value, if the value stands in an object."""
    if closers[-1:] == b"}":
        name = _expect(_name, text, at)
        at = name.end()
        out += _quoted(unescaped(name[_NAMED])) + b":"
    return at


def _after_value(text: bytes, at: int, closers: bytearray, out: bytearray) -> int:
    """Copies the brackets that close after a value, and the comma if there is one."""
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
    r"""What a backslash pair, an octal escape, or one or two ``\u`` stand for."""
    written = escape[0]
    known = _MEANING.get(written)
    if known is not None:
        return known
    if len(written) == 2:  # a pair that means nothing, kept as it is
        return written
    units = b"".join(bytes.fromhex(unit.decode()) for unit in written.split(b"\\u")[1:])
    try:
        return units.decode("utf-16-be").encode()
    except UnicodeDecodeError:
        return _LONE_SURROGATE
