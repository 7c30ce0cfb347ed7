"""The types of records: the possible outcomes of a line. ``reader`` makes them."""

from enum import StrEnum
from typing import Literal, NamedTuple, TypeAlias


class Typed(NamedTuple):
    """A property value that is not a JSON string.

    ``text`` is the number or boolean as it is written, nested JSON as compact JSON, and None for null.
    """

    type: Literal["number", "boolean", "null", "json"]
    text: str | None


Value: TypeAlias = str | Typed
"""A property value: a string, or any other JSON value."""


class Reason(StrEnum):
    """Why a line is rejected."""

    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    TRAILING_DATA = "trailing_data"
    NESTING_TOO_DEEP = "nesting_too_deep"
    LINE_TOO_LONG = "line_too_long"
    TOO_MANY_PROPERTIES = "too_many_properties"
    IDENTITY_MISSING = "identity_missing"
    IDENTITY_INVALID = "identity_invalid"
    IDENTITY_NOT_UTF8 = "identity_not_utf8"
    ALIAS_MISSING = "alias_missing"
    ALIAS_INVALID = "alias_invalid"
    ALIAS_NOT_UTF8 = "alias_not_utf8"
    TIMESTAMP_MISSING = "timestamp_missing"
    TIMESTAMP_INVALID = "timestamp_invalid"
    TIMESTAMP_OUT_OF_RANGE = "timestamp_out_of_range"
    EVENT_NAME_INVALID = "event_name_invalid"
    DUPLICATE_SYSTEM_FIELD = "duplicate_system_field"
    EMPTY_RECORD = "empty_record"


class Event(NamedTuple):
    """An event of a person. ``line`` counts from 1; ``t`` is in whole seconds since 1970, UTC."""

    line: int
    identity: str
    t: int
    name: str
    properties: dict[str, Value]


class PropertySet(NamedTuple):
    """Properties of a person, without an event."""

    line: int
    identity: str
    t: int
    properties: dict[str, Value]


class Alias(NamedTuple):
    """An alias line: two identities of the same person. Their order has no meaning."""

    line: int
    identity: str
    alias: str
    t: int


class Rejected(NamedTuple):
    """A line that cannot be imported, with its bytes (without the newline)."""

    line: int
    reason: Reason
    raw: bytes


class Blank(NamedTuple):
    """An empty or blank line."""

    line: int


Record: TypeAlias = Event | PropertySet | Alias | Rejected | Blank
"""An outcome of a line. A line with an alias and an event has two: the alias, then the event."""
