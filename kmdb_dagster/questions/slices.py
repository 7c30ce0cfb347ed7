"""Slices: the SQL that loads the events of one question from the server into a DuckDB of its own.

A slice holds only whole numbers for each event: 20 bytes, in blocks that DuckDB moves to disk when they grow. So no
question needs more memory than `MEMORY`, however many events there are. People are numbers: no identity is read.
"""

import difflib
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import ColumnElement, Engine, Integer, Select, SQLColumnExpression, Text, func, literal_column, select
from sqlalchemy.dialects import mysql

from kmdb_dagster.digest import digest
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.groups import EMPTY, quote_reserved
from kmdb_dagster.questions.span import Span, When, includes_latest, shift
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.connection.streams import numbers, stream
from kmdb_dagster.warehouse.schema.tables import Event, Key, Property, Revision

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

MEMORY = "1GB"
"""DuckDB uses the disk beyond this."""
MAX_LABEL_CHARACTERS = 200
"""Longer values of a property are cut: those that begin the same become one group."""
MAX_PEOPLE_LOOKED_UP = 100_000
"""For more people than this, reading the events of all people is faster."""
MAX_NAMES_COMPARED = 20_000
"""Names that a misspelled one is compared with, for a suggestion."""

FIRST_LABELS = f"""
    CREATE TABLE {{table}} AS
    SELECT person, min(t) AS t, min_by(id, (t, id)) AS id,
        coalesce(nullif({quote_reserved("min_by(label, (t, id))")}, ''), '{EMPTY}') AS label
    FROM all_{{table}} GROUP BY person
"""


@dataclass
class Slice:
    """The facts of one question in DuckDB. The ``take`` methods create tables: ``facts``, ``labels``, and others."""

    engine: Engine
    duck: "DuckDBPyConnection"
    statements: list[str] = field(default_factory=list)
    """The SQL that the server ran, in order."""
    names: dict[int, str] = field(default_factory=dict)
    """``keys.id`` to name, for every id that was looked up."""

    def name_ids(self, names: Collection[str]) -> list[int]:
        """Look up ``keys.id`` of event or property names, in their order.

        Raises:
            PermanentError: A name does not exist; the message suggests similar ones.
        """
        with transaction(self.engine) as connection:
            rows = connection.execute(select(Key.digest, Key.id).where(Key.digest.in_(set(map(digest, names)))))
            found = {row.digest: row.id for row in rows}
            missing = [name for name in names if digest(name) not in found]
            if missing:
                known = connection.execute(select(Key.string).limit(MAX_NAMES_COMPARED)).scalars().all()
                raise PermanentError(_no_such_name(missing[0], known))
        ids = [int(found[digest(name)]) for name in names]
        self.names |= dict(zip(ids, names, strict=True))
        return ids

    def look_up_names(self, ids: Collection[int]) -> None:
        """Add the names of these ``keys.id`` to `names`."""
        with transaction(self.engine) as connection:
            rows = connection.execute(select(Key.id, Key.string).where(Key.id.in_(ids)))
            self.names |= {row.id: row.string for row in rows}

    def take_events(
        self,
        ids: Collection[int],
        start: datetime,
        end: datetime,
        *,
        without: Collection[int] = (),
        people_with: int | None = None,
    ) -> None:
        """Load events as the table ``facts (person, t, id, name)``; ``t`` is in seconds since 1970.

        Args:
            ids: Load events with these names (``keys.id``); all names if it is empty.
            start: First moment, inclusive.
            end: Last moment, exclusive.
            without: Exclude events with these names.
            people_with: The question needs only people with an event of this name. If there are more than
                `MAX_PEOPLE_LOOKED_UP`, the events of all people are loaded.
        """
        events = select(Event.user_id.label("person"), seconds_of(Event.t).label("t"), Event.id, Event.n.label("name"))
        narrowed = bound_to_span(events, Event, start, end, ids)
        if without:
            narrowed = narrowed.where(Event.n.not_in(sorted(set(without))))
        if people_with is not None:
            people = bound_to_span(select(Event.user_id), Event, start, end, [people_with])
            if self._are_few(people):
                narrowed = narrowed.where(Event.user_id.in_(people))
        self.take("facts", narrowed)

    def _are_few(self, people: Select[tuple[int]]) -> bool:
        some = people.distinct().limit(MAX_PEOPLE_LOOKED_UP + 1).subquery()
        with transaction(self.engine) as connection:
            return connection.execute(select(func.count()).select_from(some)).scalar_one() <= MAX_PEOPLE_LOOKED_UP

    def take_labels(self, name: str | None, start: datetime, end: datetime, table: str = "labels") -> None:
        """Load each person's first value of a property as a table ``(person, t, id, label)``.

        Args:
            name: The property; None creates an empty table.
            start: First moment, inclusive.
            end: Last moment, exclusive.
            table: The table to create. All values, not only the first, are in ``all_`` + table.
        """
        if name is None:
            self.duck.execute(f"CREATE TABLE {table} (person BIGINT, t BIGINT, id BIGINT, label TEXT)")
            return
        statement = select(
            Property.user_id.label("person"),
            seconds_of(Property.t).label("t"),
            Property.id,
            func.left(Property.value, MAX_LABEL_CHARACTERS, type_=Text).label("label"),
        ).where(Property.value.is_not(None))
        self.take(f"all_{table}", bound_to_span(statement, Property, start, end, self.name_ids([name])))
        self.duck.execute(FIRST_LABELS.format(table=table))

    def take(self, table: str, statement: Select[*tuple[Any, ...]]) -> None:
        """Stream the rows of a statement into a new table."""
        columns = {column.name: column.type for column in statement.selected_columns}
        types = ", ".join(f"{name} {'TEXT' if isinstance(kind, Text) else 'BIGINT'}" for name, kind in columns.items())
        self.duck.execute(f"CREATE TABLE {table} ({types})")
        sql = str(statement.compile(dialect=mysql.dialect(paramstyle="named"), compile_kwargs={"literal_binds": True}))
        self.statements.append(self._with_names(sql))
        with transaction(self.engine) as connection:
            for rows in stream(connection, sql):
                self._insert(table, columns, rows)

    def _insert(self, table: str, columns: dict[str, Any], rows: Sequence[Sequence[Any]]) -> None:
        all_integers = all(isinstance(kind, Integer) for kind in columns.values())
        cells = numbers(rows).T if all_integers else zip(*rows, strict=True)
        self.duck.register("batch", pa.table(list(map(pa.array, cells)), list(columns)))
        self.duck.execute(f"INSERT INTO {table} SELECT * FROM batch")
        self.duck.unregister("batch")

    def _with_names(self, sql: str) -> str:
        """Prefix a statement with a comment that names the ids in it."""
        named = ", ".join(f"{number} = {name!r}" for number, name in self.names.items() if str(number) in sql)
        return f"-- {named}\n{sql}" if named else sql


def query_frame(duck: "DuckDBPyConnection", sql: str) -> "pl.DataFrame":
    """Run a query in DuckDB and return its rows as a Polars frame."""
    found: pl.DataFrame = duck.sql(sql).pl()
    return found


def seconds_of(t: SQLColumnExpression[datetime]) -> ColumnElement[int]:
    """Return SQL for a time as seconds since 1970, for all years.

    UNIX_TIMESTAMP does not work before 1970, nor, on MariaDB, after 2038.
    """
    return func.timestampdiff(literal_column("SECOND"), literal_column("'1970-01-01'"), t, type_=Integer)


def naive_utc(t: datetime) -> datetime:
    """Return a time in UTC as the tables store it: without a time zone."""
    return t.replace(tzinfo=None)


def in_span(t: SQLColumnExpression[datetime], start: datetime, end: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that a time is in a span; the server prunes partitions by them."""
    return t >= naive_utc(start), t <= naive_utc(end) if includes_latest(end) else t < naive_utc(end)


def bound_to_span(
    statement: Select[*tuple[Any, ...]],
    table: type[Event | Property],
    start: datetime,
    end: datetime,
    names: Collection[int],
) -> Select[*tuple[Any, ...]]:
    """Add conditions on time and names to a statement.

    Args:
        statement: Selects from the table.
        table: `Event` or `Property`.
        start: First moment, inclusive.
        end: Last moment, exclusive.
        names: ``keys.id`` of the names; all if it is empty.
    """
    narrowed = statement.where(*in_span(table.t, start, end))
    name = Event.n if table is Event else Property.key
    return narrowed.where(name.in_(sorted(set(names)))) if names else narrowed


@contextmanager
def open_slice(engine: Engine) -> Iterator[Slice]:
    """Open an empty slice, and delete its files at the end.

    Raises:
        PermanentError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise PermanentError("Questions need DuckDB and Polars: pip install 'kmdb-dagster[analysis]'") from None
    with tempfile.TemporaryDirectory(prefix="kmdb-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "temp_directory": folder,
            "preserve_insertion_order": False,
        }
        with duckdb.connect(f"{folder}/slice", config=settings) as duck:
            yield Slice(engine, duck)


def resolve_span(engine: Engine, when: When) -> Span:
    """Fill in what the user left open: the end of the imported data, and 30 days before it.

    Raises:
        PermanentError: Nothing is imported, or the span is empty.
    """
    with transaction(engine) as connection:
        newest = connection.execute(select(func.max(Revision.t_max)).where(Revision.imported_at.is_not(None))).scalar()
    now = datetime.now(UTC).replace(microsecond=0)
    known = shift(min(newest.replace(tzinfo=UTC), now), 1) if newest else None
    until = when.until or known
    if until is None:
        raise PermanentError("Nothing is imported yet, so there is nothing to ask about. Run `kmdb import`.")
    since = when.since or shift(until, -when.last).replace(hour=0, minute=0, second=0)
    return Span(since, until, known)


def _no_such_name(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"No event or property is called {name!r}.{hint}"
