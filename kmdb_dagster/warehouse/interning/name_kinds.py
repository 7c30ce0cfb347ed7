"""Whether a name is that of an event or of a property, for what users type. Unknown names get suggestions.

The table ``keys`` holds the names of both. A name has a kind if at least one fact has it.
"""

import difflib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, SQLColumnExpression, exists, func, select

from kmdb_dagster.digest import digest
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.schema.tables import Event, Key, Property

MAX_NAMES_COMPARED = 20_000
"""Names that a misspelled one is compared with."""
MAX_CANDIDATES = 10
MAX_SUGGESTIONS = 3


class Kind(NamedTuple):
    """What a name can name: an event or a property."""

    noun: str
    plural: str
    column: SQLColumnExpression[int]
    """The ``keys.id`` of a fact."""
    t: SQLColumnExpression[datetime]
    """The time of a fact."""


EVENT = Kind("event", "events", Event.n, Event.t)
PROPERTY = Kind("property", "properties", Property.key, Property.t)


def key_of(connection: Connection, kind: Kind, name: str) -> int:
    """Return the ``keys.id`` of an event's or a property's name.

    Args:
        connection: a transaction.
        kind: `EVENT` or `PROPERTY`.
        name: the name, compared exactly.

    Raises:
        PermanentError: No event, or no property, has this name. The message suggests similar names of the kind.
    """
    found = connection.execute(select(Key.id).where(Key.digest == digest(name))).scalar()
    if found is not None and has_kind(connection, kind, found):
        return found
    other = PROPERTY if kind is EVENT else EVENT
    if found is not None and has_kind(connection, other, found):
        said = f"{name!r} is the name of {_with_article(other)}, not of {_with_article(kind)}."
    else:
        said = f"No {kind.noun} is called {name!r}."
    raise PermanentError(f"{said}{_suggestion(connection, kind, name)}")


def has_kind(connection: Connection, kind: Kind, key: int) -> bool:
    """Return whether any fact of the kind has this name.

    Args:
        connection: a transaction.
        kind: `EVENT` or `PROPERTY`.
        key: the ``keys.id``.
    """
    return bool(connection.execute(select(exists().where(kind.column == key))).scalar())


def time_span(connection: Connection, kind: Kind, key: int) -> tuple[datetime, datetime]:
    """Return the times of the first and the last fact of a name that has the kind.

    Args:
        connection: a transaction.
        kind: `EVENT` or `PROPERTY`.
        key: the ``keys.id`` of a name that has the kind.
    """
    first, last = connection.execute(select(func.min(kind.t), func.max(kind.t)).where(kind.column == key)).one()
    return first, last


def _with_article(kind: Kind) -> str:
    return f"{'an' if kind is EVENT else 'a'} {kind.noun}"


def _suggestion(connection: Connection, kind: Kind, name: str) -> str:
    """Suggest names of the kind that are similar, or that differ in case only."""
    known: Sequence[Any] = connection.execute(select(Key.string, Key.id).limit(MAX_NAMES_COMPARED)).all()
    ids: dict[str, int] = {row.string: row.id for row in known}
    folded = [other for other in ids if other.casefold().strip() == name.casefold().strip()]
    close = dict.fromkeys([*folded, *difflib.get_close_matches(name, ids, n=MAX_CANDIDATES)])
    similar = [other for other in close if other != name and has_kind(connection, kind, ids[other])][:MAX_SUGGESTIONS]
    if similar:
        return f" Did you mean {' or '.join(map(repr, similar))}?"
    return " Names are compared exactly. `kmdb ask trend` counts the events of each name." if kind is EVENT else ""
