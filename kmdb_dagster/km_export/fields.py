"""Turn the members of a line into records: the second half of the careful path.

The system fields are _p, _p2, _t and _n; every other member is a property. ``scanner`` parses the members.
"""

import re

from kmdb_dagster.km_export.lenient_json import Raw, UnreadableError, members, text_of
from kmdb_dagster.km_export.records import Alias, Blank, Event, PropertySet, Reason, Record, Rejected, Typed, Value

MAX_T = 253402300799
"""The last second of the year 9999."""

MAX_PROPERTIES = 65_535
"""Row ids have 16 bits for the index of a property in its line."""

_SYSTEM_FIELDS = frozenset((b"_p", b"_p2", b"_t", b"_n"))
_BOM = b"\xef\xbb\xbf"
_DIGITS = re.compile(r"[0-9]+")
_INTEGER = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)0*([0-9]*))?")


def read_careful(number: int, line: bytes) -> list[Record]:
    """Read one line of any bytes.

    Args:
        number: The line's number, from 1.
        line: Its bytes, without the newline.

    Returns:
        One record, or two: an alias and the event or property set of the same line.
    """
    text = line.removeprefix(_BOM).strip(b" \t\r")
    if not text:
        return [Blank(number)]
    try:
        return _outcomes(number, text)
    except UnreadableError as error:
        return [Rejected(number, error.reason, line)]


def _outcomes(number: int, text: bytes) -> list[Record]:
    system, properties = _split_members(text)
    identity = _identity(system.get(b"_p"))
    if identity is None:
        raise UnreadableError(Reason.IDENTITY_MISSING)
    t = _seconds(system.get(b"_t"))
    name = _event_name(system.get(b"_n"))
    alias = _alias(system.get(b"_p2"))
    records: list[Record] = [] if alias is None else [Alias(number, identity, alias, t)]
    if name is not None:
        records.append(Event(number, identity, t, name, properties))
    elif properties:
        records.append(PropertySet(number, identity, t, properties))
    if not records:
        raise UnreadableError(Reason.ALIAS_MISSING if b"_p2" in system else Reason.EMPTY_RECORD)
    return records


def _split_members(text: bytes) -> tuple[dict[bytes, Raw], dict[str, Value]]:
    """Split members into system fields and properties. The last value of a duplicate property wins."""
    system: dict[bytes, Raw] = {}
    properties: dict[str, Value] = {}
    is_contradictory = False
    for name, value in members(text):
        if name in _SYSTEM_FIELDS:
            is_contradictory |= system.setdefault(name, value) != value
        else:
            properties[text_of(name)] = text_of(value) if isinstance(value, bytes) else value
    # After the loop, so that a line that is not JSON is rejected for that reason.
    if is_contradictory:
        raise UnreadableError(Reason.DUPLICATE_SYSTEM_FIELD)
    if len(properties) > MAX_PROPERTIES:
        raise UnreadableError(Reason.TOO_MANY_PROPERTIES)
    return system, properties


def _alias(value: Raw | None) -> str | None:
    try:
        return _identity(value)
    except UnreadableError as error:
        reason = Reason.ALIAS_INVALID if error.reason is Reason.IDENTITY_INVALID else Reason.ALIAS_NOT_UTF8
        raise UnreadableError(reason) from None


def _identity(value: Raw | None) -> str | None:
    """Return an identity exactly as it is written, None for a missing or blank one.

    Raises:
        UnreadableError: The value cannot be an identity. A wrong guess would merge two people.
    """
    if isinstance(value, bytes):
        return _named(value)
    if value is None or value.type == "null":
        return None
    if value.type == "number" and value.text is not None and _INTEGER.fullmatch(value.text):
        return value.text
    raise UnreadableError(Reason.IDENTITY_INVALID)


def _named(string: bytes) -> str | None:
    try:
        identity = string.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableError(Reason.IDENTITY_NOT_UTF8) from None
    if "\0" in identity:
        raise UnreadableError(Reason.IDENTITY_INVALID)
    return identity if identity.strip() else None


def _event_name(value: Raw | None) -> str | None:
    """Return the name of the event, None if the line has none. A number is a name, as it is written."""
    if isinstance(value, bytes):
        return text_of(value) or None
    if value is None or value.type == "null":
        return None
    if value.type == "number":
        return value.text
    raise UnreadableError(Reason.EVENT_NAME_INVALID)


def _seconds(value: Raw | None) -> int:
    """Return the time of a line in whole seconds since 1970, UTC. A fraction is rounded down."""
    if value is None or value == b"" or (isinstance(value, Typed) and value.type == "null"):
        raise UnreadableError(Reason.TIMESTAMP_MISSING)
    t = _floor(_number_text(value))
    if not 0 < t <= MAX_T:
        raise UnreadableError(Reason.TIMESTAMP_OUT_OF_RANGE)
    return t


def _number_text(value: Raw) -> str:
    if isinstance(value, bytes):
        text = text_of(value)
        if _DIGITS.fullmatch(text):
            return text
    elif value.type == "number" and value.text is not None:
        return value.text
    raise UnreadableError(Reason.TIMESTAMP_INVALID)


def _floor(number: str) -> int:
    """Return the integer part of a JSON number: 0 if it is not positive, more than MAX_T if it is larger.

    It works on the digits: a float would round, and 1e999999999 must cost no more than its eleven characters.
    """
    parts = _NUMBER.fullmatch(number)
    if parts is None or parts[1]:  # every negative number is out of range
        return 0
    digits = parts[2] + (parts[3] or "")
    significant = digits.lstrip("0")
    if not significant:
        return 0
    exponent = int((parts[5] or "0")[:19])  # 19 digits exceed the length of any line
    point = len(parts[2]) - (len(digits) - len(significant)) + (-exponent if parts[4] == "-" else exponent)
    if point <= 0:
        return 0
    return int(significant[:point].ljust(point, "0")) if point <= len(str(MAX_T)) else MAX_T + 1
