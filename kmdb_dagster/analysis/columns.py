"""Which properties an event or a person has, and of which type all their values are.

A type is decided from all values that are there. A view still looks at each value: one that came later and does not
fit is NULL, never cut or changed. Text always fits.
"""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection

WHOLE = "^-?(0|[1-9][0-9]{0,17})$"
"""Without zeros before it: 007 is a name."""
DECIMAL = "^-?(0|[1-9][0-9]{0,17})([.][0-9]{1,12})?$"
DOUBLE = "^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]{1,2})?$"
TIME = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])?$"
PATTERNS = (WHOLE, DECIMAL, DOUBLE, TIME)
LONGEST = 40
"""Characters of a value that may be a number or a time."""

PROPERTIES = """
    SELECT k.string, COUNT(p.value), {counts},
        MAX(CASE WHEN {decimal} THEN CHAR_LENGTH(SUBSTRING_INDEX(CONCAT(p.value, '.'), '.', 2))
            - CHAR_LENGTH(SUBSTRING_INDEX(p.value, '.', 1)) - 1 END)
    FROM {source} JOIN `keys` k ON k.id = p.`key` GROUP BY p.`key`, k.string ORDER BY COUNT(*) DESC, k.string
"""
OF_EVENT = "events e JOIN properties p ON p.event_id = e.id AND p.t = e.t AND e.n = {event}"
OF_PERSON = "(SELECT * FROM properties WHERE `key` IN ({ids})) p"


class Column(NamedTuple):
    """A property as a column of a view."""

    name: str
    type: str
    """As MySQL's CAST takes it; empty for text."""
    pattern: str
    """What values of the type look like."""

    def sql(self, value: str) -> str:
        """The expression for a value of this column."""
        if not self.type:
            return value
        return f"CASE WHEN {fits(value, self.pattern)} THEN CAST({value} AS {self.type}) END"


def event_columns(connection: Connection, event: str) -> list[Column]:
    """The properties of an event of this name, those that most of them have first. Looks at each value."""
    return list(_columns(connection, OF_EVENT.format(event=key_id(event))))


def person_columns(connection: Connection, properties: tuple[str, ...]) -> list[Column]:
    """These properties of people, in this order. Looks at each value."""
    if not properties:
        return []
    source = OF_PERSON.format(ids=", ".join(map(key_id, properties)))
    found = {column.name: column for column in _columns(connection, source)}
    return [found.get(name, Column(name, "", "")) for name in properties]


def _columns(connection: Connection, source: str) -> Iterator[Column]:
    counts = ", ".join(f"SUM({fits('p.value', pattern)})" for pattern in PATTERNS)
    statement = PROPERTIES.format(counts=counts, decimal=fits("p.value", DECIMAL), source=source)
    for name, values, *fitting, scale in execute(connection, statement):
        types = ("SIGNED", f"DECIMAL(30,{scale})", "DOUBLE", "DATETIME")
        narrowest = [n for n, count in enumerate(fitting) if values and count == values][:1]
        yield next((Column(str(name), types[n], PATTERNS[n]) for n in narrowest), Column(str(name), "", ""))


def fits(value: str, pattern: str) -> str:
    """The condition that a value is of a type."""
    return f"(CHAR_LENGTH({value}) <= {LONGEST} AND {value} REGEXP '{pattern}')"


def key_id(name: str) -> str:
    """The id of an event's or a property's name: by its name, because ids are others after a `kmdb flush`."""
    return f"(SELECT id FROM `keys` WHERE string = {literal(name)})"  # noqa: S608 - a literal of our own making


def literal(text: str) -> str:
    """A text as SQL has it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return "`" + name.replace("`", "``") + "`"


def execute(connection: Connection, statement: str) -> list[tuple[object, ...]]:
    """Run a statement that holds its values."""
    result = connection.exec_driver_sql(statement.replace("%", "%%"))
    return [tuple(row) for row in result] if result.returns_rows else []
