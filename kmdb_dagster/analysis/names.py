"""Column names for properties: valid in MySQL, and unique."""

from collections.abc import Iterable
from hashlib import sha256

MAX_NAME_CHARACTERS = 64
"""Of a column, a view or a table (MySQL manual, "Identifier Length Limits")."""
DIGEST_CHARACTERS = 8
"""Appended to names that would collide."""


def unique_names(properties: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Choose a column name for each property: the property's own, if MySQL accepts it and it is unique.

    MySQL compares column names without case. They have at most 64 characters, none above U+FFFF, and no blank at
    the end (MySQL manual, "Schema Object Names"). Any other name ends with a digest of the property, so that
    it does not depend on the order of the properties.

    Args:
        properties: The names of the properties.
        taken: Column names that exist already.

    Returns:
        Property name to column name.
    """
    wanted = list(properties)
    kinds = [_folded(name) for name in (*taken, *wanted)]
    return {
        name: name if _is_valid(name) and kinds.count(_folded(name)) == 1 else with_digest(name, name)
        for name in wanted
    }


def _folded(name: str) -> str:
    return name.casefold().rstrip()


def _is_valid(name: str) -> bool:
    is_short = 0 < len(name) <= MAX_NAME_CHARACTERS
    return is_short and name == name.strip() and all(" " <= letter <= "\uffff" for letter in name)


def with_digest(name: str, source: str) -> str:
    """Make a name unique by a digest of its source at the end."""
    kept = "".join(letter if " " <= letter <= "\uffff" else "_" for letter in name).strip()
    digest = sha256(source.encode()).hexdigest()[:DIGEST_CHARACTERS]
    return f"{kept[: MAX_NAME_CHARACTERS - DIGEST_CHARACTERS - 1]}_{digest}".strip("_ ")
