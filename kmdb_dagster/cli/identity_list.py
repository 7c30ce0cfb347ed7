"""A list of identities, one a line, as people save it: from an editor, a query, or a spreadsheet."""

import codecs
from typing import NamedTuple

from kmdb_dagster.errors import PermanentError

BYTE_ORDER_MARK = "\ufeff"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Named(NamedTuple):
    """A line that names an identity: its number, and what the identity may be, the text as it stands first."""

    line: int
    forms: tuple[str, ...]


def parse_identities(data: bytes) -> list[Named]:
    """Read a list: UTF-8, or UTF-16 with a byte order mark. Blank lines are left out.

    Raises:
        PermanentError: it is no such text, or names no identity.
    """
    lines = [line.removesuffix("\r") for line in _decoded(data).split("\n")]
    named = [Named(number, _forms(line)) for number, line in enumerate(lines, start=1)]
    found = [item for item in named if item.forms]
    if not found:
        raise PermanentError("There is no identity to forget. Give one on each line.")
    return found


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-16" if data.startswith(UTF_16) else "utf-8")
    except UnicodeDecodeError:
        raise PermanentError("The identities are no UTF-8 text. Save the list as UTF-8, and try again.") from None


def _forms(line: str) -> tuple[str, ...]:
    """What a line may stand for: itself, then without byte order mark, blanks around it, and CSV quotes."""
    bare = line.removeprefix(BYTE_ORDER_MARK)
    trimmed = bare.strip()
    unquoted = _unquoted(trimmed)
    forms = dict.fromkeys([line, bare, trimmed, unquoted, unquoted.strip()])
    return tuple(form for form in forms if form) if unquoted.strip() else ()


def _unquoted(cell: str) -> str:
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if quoted else cell
