"""Names of columns that stand for properties: what MySQL takes as a name, and each once."""

from collections.abc import Iterable
from hashlib import sha256

LONGEST = 64
"""Characters in the name of a column, a view or a table (MySQL, "Identifier Length Limits")."""
MARK = 8
"""Characters that tell names apart that would be one."""


def unique_names(properties: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A column's name for each property: the same as the property's, where MySQL lets it.

    To MySQL, names of columns are the same in any case. They have at most 64 characters, none above U+FFFF, no blank
    at the end ("Schema Object Names"). A name that will not do, or is not the only one of its kind, ends with a digest
    of the property: so it is the same in whatever order they come.
    """
    wanted = list(properties)
    kinds = [_folded(name) for name in (*taken, *wanted)]
    return {name: name if _is_fit(name) and kinds.count(_folded(name)) == 1 else marked(name, name) for name in wanted}


def _folded(name: str) -> str:
    return name.casefold().rstrip()


def _is_fit(name: str) -> bool:
    return 0 < len(name) <= LONGEST and name == name.strip() and all(" " <= letter <= "\uffff" for letter in name)


def marked(name: str, of: str) -> str:
    """A name that nothing else has: it ends with a digest of what it is the name of."""
    kept = "".join(letter if " " <= letter <= "\uffff" else "_" for letter in name).strip()
    return f"{kept[: LONGEST - MARK - 1]}_{sha256(of.encode()).hexdigest()[:MARK]}".strip("_ ")
