"""A text for each rejection reason. A test keeps docs/reference/reading-rules.md the same."""

from kmdb_dagster.km_export.records import Reason

REASONS = {
    Reason.LINE_TOO_LONG: "it is longer than 16 MiB",
    Reason.INVALID_JSON: "it cannot be read: cut off, damaged, or never JSON",
    Reason.NESTING_TOO_DEEP: "arrays or objects are nested more than 512 deep",
    Reason.NOT_AN_OBJECT: "it is whole JSON, but a list, string, number, boolean or null",
    Reason.TRAILING_DATA: "there is more text after the object, perhaps a second object",
    Reason.DUPLICATE_SYSTEM_FIELD: "_p, _p2, _t or _n occurs twice with different values",
    Reason.TOO_MANY_PROPERTIES: "it has more than 65,535 properties, and row ids have 16 bits for them",
    Reason.IDENTITY_MISSING: "_p is absent, null, empty or blank",
    Reason.IDENTITY_INVALID: "_p is a boolean, a list, an object or no whole number, or holds NUL",
    Reason.IDENTITY_NOT_UTF8: "_p is not UTF-8",
    Reason.TIMESTAMP_MISSING: "_t is absent, null or an empty string",
    Reason.TIMESTAMP_INVALID: "_t is neither a number nor a string of digits",
    Reason.TIMESTAMP_OUT_OF_RANGE: "_t is below 1 or after the year 9999 (such as milliseconds)",
    Reason.EVENT_NAME_INVALID: "_n is a boolean, a list or an object",
    Reason.ALIAS_INVALID: "_p2 is a boolean, a list, an object or no whole number, or holds NUL",
    Reason.ALIAS_NOT_UTF8: "_p2 is not UTF-8",
    Reason.ALIAS_MISSING: "_p2 is null, empty or blank, and nothing else is there to import",
    Reason.EMPTY_RECORD: "it names a person and a time, but no event, no property and no alias",
}
"""Each text completes "The line was rejected because …"."""
