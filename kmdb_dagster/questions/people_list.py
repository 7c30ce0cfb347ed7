"""The people behind the numbers of an answer, as a CSV: each with the row of the answer that counts the person."""

import csv
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.identity_list import parse_identities
from kmdb_dagster.output_escaping import for_csv_cell
from kmdb_dagster.private_file import private_file
from kmdb_dagster.questions.segment import IS_NOT_SET, IS_SET, Condition
from kmdb_dagster.warehouse.connection.server import select_in_batches, transaction
from kmdb_dagster.warehouse.identity.erasure_list import people_being_erased

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from kmdb_dagster.questions.slices import Slice

PERSON = "person"
ROWS_PER_FETCH = 10_000
NAMES = "SELECT id, name FROM users WHERE id IN :ids"
OPPOSITES = {"!=": "=", IS_NOT_SET: IS_SET}


class PeopleList(NamedTuple):
    """Which people of an answer are written, and where."""

    file: Path
    only: tuple[Condition, ...] = ()
    """Conditions on the columns of the list; all must hold."""

    def require_columns(self, columns: Sequence[str]) -> None:
        """Refuse conditions on columns that the list does not have.

        Raises:
            PermanentError: A column does not exist.
        """
        for condition in self.only:
            if condition.name not in columns:
                raise PermanentError(
                    f"The people of this question have no column {condition.name!r}. They have: {', '.join(columns)}."
                )

    def write(self, slice_: "Slice", members: str, columns: Sequence[str]) -> int:
        """Write the people with their canonical identities, and return how many there are.

        People whose erasure is requested are left out.

        Args:
            slice_: The slice that the answer was computed from.
            members: A DuckDB query: ``person``, and the columns of the list. A person may have several rows.
            columns: The columns to write.
        """
        column_of = {column: _quoted(column) for column in columns}
        conditions = [f"coalesce({_sql(one, column_of[one.name])}, false)" for one in self.only] or ["true"]
        chosen = f"SELECT DISTINCT {', '.join([PERSON, *column_of.values()])} FROM ({members})"
        people, last = 0, None
        with transaction(slice_.engine) as connection, private_file(self.file) as file:
            erased = people_being_erased(connection)
            found = slice_.duck.execute(f"{chosen} WHERE {' AND '.join(conditions)} ORDER BY ALL")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([PERSON, *map(for_csv_cell, column_of)])
            while rows := found.fetchmany(ROWS_PER_FETCH):
                names = _names(connection, {row[0] for row in rows} - erased)
                kept = [row for row in rows if row[0] in names]
                writer.writerows([for_csv_cell(names[row[0]]), *map(_cell, row[1:])] for row in kept)
                # The rows are sorted by person, so that a person is in two batches only at their border.
                people += len(names) - (last in names)
                last = rows[-1][0]
        return people


def read_cohort(file: Path) -> list[tuple[str, ...]]:
    """Read the identities of a cohort, and return the forms that each may have in the database.

    Args:
        file: A list that `PeopleList` wrote, or an identity on each line.

    Raises:
        PermanentError: The file cannot be read, or has no identity.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise PermanentError(f"The cohort {file} cannot be read ({error.strerror}).") from None
    header = data.split(b"\n", 1)[0]
    if header != PERSON.encode() and not header.startswith(f"{PERSON},".encode()):
        return [named.forms for named in parse_identities(data)]
    people = dict.fromkeys(row[PERSON] for row in csv.DictReader(data.decode("utf-8", "replace").splitlines()))
    # A list has an apostrophe before what would be a formula.
    return [tuple(dict.fromkeys((name, name.removeprefix("'")))) for name in people]


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _names(connection: "Connection", people: set[int]) -> dict[int, str]:
    return dict(select_in_batches(connection, NAMES, people))


def _cell(value: Any) -> str:  # noqa: ANN401 - whatever DuckDB holds
    if value is None:
        return ""
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else for_csv_cell(str(value))


def _sql(condition: Condition, column: str) -> str:
    """Return a condition on a column as SQL of DuckDB. A negated one also holds for NULL."""
    text = _literal(condition.value)
    if condition.is_negated:
        opposite = Condition(condition.name, OPPOSITES[condition.operator], condition.value)
        return f"NOT coalesce({_sql(opposite, column)}, false)"
    match condition.operator:
        case "is set":
            return f"{column} IS NOT NULL"
        case "contains":
            return f"contains({column}::VARCHAR, {text})"
        case "=":
            # A date is midnight: 2014-01-06 equals 2014-01-06 00:00.
            moments = [f"TRY_CAST({value} AS TIMESTAMP)" for value in (f"{column}::VARCHAR", text)]
            return f"coalesce({' = '.join(moments)}, {column}::VARCHAR = {text})"
        case _:
            return f"TRY_CAST({column}::VARCHAR AS DOUBLE) {condition.operator} {float(condition.value)!r}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
