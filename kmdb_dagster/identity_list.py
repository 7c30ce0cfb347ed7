"""Parse a list of identities, one per line, as saved by an editor, a query or a spreadsheet."""

import codecs
from typing import NamedTuple

from kmdb_dagster.errors import PermanentError

BYTE_ORDER_MARK = "\ufeff"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Named(NamedTuple):
    """A line that names an identity: its number, from 1, and the forms that the identity may have, exact text first."""

    line: int
    forms: tuple[str, ...]


def parse_identities(data: bytes) -> list[Named]:
    """Parse a list in UTF-8, or in UTF-16 with a byte order mark. Blank lines are skipped.

    Raises:
        PermanentError: the text has another encoding, or names no identity.
    """
    lines = [line.removesuffix("\r") for line in _decoded(data).split("\n")]
    named = [Named(number, _forms(line)) for number, line in enumerate(lines, start=1)]
    found = [item for item in named if item.forms]
    if not found:
        raise PermanentError("The list has no identity. Write one on each line.")
    return found


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-16" if data.startswith(UTF_16) else "utf-8")
    except UnicodeDecodeError:
        raise PermanentError("The list is not UTF-8 text. Save it as UTF-8, then run the command again.") from None


def _forms(line: str) -> tuple[str, ...]:
    """Return the line itself, then without byte order mark, surrounding blanks and CSV quotes. Empty: a blank line."""
    bare = line.removeprefix(BYTE_ORDER_MARK)
    trimmed = bare.strip()
    unquoted = _unquoted(trimmed)
    forms = dict.fromkeys([line, bare, trimmed, unquoted, unquoted.strip()])
    return tuple(form for form in forms if form) if unquoted.strip() else ()


def _unquoted(cell: str) -> str:
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if quoted else cell
