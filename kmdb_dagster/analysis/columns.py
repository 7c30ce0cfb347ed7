"""Columns of views: the properties of an event or of people, and the SQL type that fits all their values.

The type is chosen from all values in the tables. A later value that does not fit is NULL in the view: it is never cut
or changed. Text always fits.
"""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection

WHOLE = "^-?(0|[1-9][0-9]{0,17})$"
"""Without leading zeros: 007 is a name."""
DECIMAL = "^-?(0|[1-9][0-9]{0,17})([.][0-9]{1,12})?$"
DOUBLE = "^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]{1,2})?$"
TIME = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])?$"
PATTERNS = (WHOLE, DECIMAL, DOUBLE, TIME)
MAX_TYPED_CHARACTERS = 40
"""A longer value is text."""

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
    """A type for MySQL's CAST; empty for text."""
    pattern: str
    """Regular expression of the values of this type."""

    def sql(self, value: str) -> str:
        """Return the SQL expression of this column, for the SQL expression of a value."""
        if not self.type:
            return value
        return f"CASE WHEN {fits(value, self.pattern)} THEN CAST({value} AS {self.type}) END"


def event_columns(connection: Connection, event: str) -> list[Column]:
    """Return the properties of events of this name, the most frequent first. Reads each value."""
    return list(_columns(connection, OF_EVENT.format(event=key_id(event))))


def person_columns(connection: Connection, properties: tuple[str, ...]) -> list[Column]:
    """Return these properties of people as columns, in this order. Reads each value."""
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
    """Return the SQL condition that a value fits a type."""
    return f"(CHAR_LENGTH({value}) <= {MAX_TYPED_CHARACTERS} AND {value} REGEXP '{pattern}')"


def key_id(name: str) -> str:
    """Return SQL for the id of a name. It looks up the name, because ids change with `kmdb flush`."""
    return f"(SELECT id FROM `keys` WHERE string = {literal(name)})"  # noqa: S608 - the literal is escaped


def literal(text: str) -> str:
    """Quote a text as an SQL string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def quoted(name: str) -> str:
    """Quote a name as an SQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def execute(connection: Connection, statement: str) -> list[tuple[object, ...]]:
    """Run a statement without parameters, and return its rows, if any."""
    result = connection.exec_driver_sql(statement.replace("%", "%%"))
    return [tuple(row) for row in result] if result.returns_rows else []
