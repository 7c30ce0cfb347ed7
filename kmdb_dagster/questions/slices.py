"""Slices: the SQL that loads the events of one question from the server into a DuckDB of its own.

With a columnar copy, DuckDB reads its files, and the server only looks up names.

A slice holds only whole numbers for each event: 20 bytes, in blocks that DuckDB moves to disk when they grow. So no
question needs more memory than `MEMORY`, however many events there are. People are numbers: no identity is read.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import (
    ColumnElement,
    Engine,
    Float,
    Integer,
    Select,
    SQLColumnExpression,
    Text,
    exists,
    func,
    select,
)
from sqlalchemy.dialects import mysql

from kmdb_dagster.columnar.duckdb_sql import duckdb_sql
from kmdb_dagster.columnar.reader import CopyReader
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.slice_folder import slice_folder
from kmdb_dagster.questions.span import Span, When, includes_latest, last_midnight, shift
from kmdb_dagster.questions.sql_functions import seconds_of
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.connection.streams import numbers, stream
from kmdb_dagster.warehouse.interning.name_kinds import EVENT, PROPERTY, Kind, key_of, time_span
from kmdb_dagster.warehouse.schema.tables import Event, Key, Revision

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

MEMORY = "1GB"
"""DuckDB uses the disk beyond this."""
MAX_LABEL_CHARACTERS = 200
"""Longer values of a property are cut: those that begin the same become one group."""
MAX_PEOPLE_LOOKED_UP = 100_000
"""For more people than this, reading the events of all people is faster."""
MAX_SHARE_LOOKED_UP = 0.5
"""The same for the columnar copy, as a share of all identities."""


@dataclass
class Slice:
    """The facts of one question in DuckDB. The ``take`` methods create tables: ``facts``, ``labels``, and others."""

    engine: Engine
    duck: "DuckDBPyConnection"
    span: Span
    """The time that the question is about."""
    copy: CopyReader | None
    """Where facts are read. None: the tables."""
    until: datetime
    """The end of what is loaded, exclusive: the end of the span, or later for a question that follows people."""
    statements: list[str] = field(default_factory=list)
    """The SQL that read the facts, in order."""
    names: dict[int, str] = field(default_factory=dict)
    """``keys.id`` to name, for every id that was looked up."""
    notes: list[str] = field(default_factory=list)
    """What the answer must say of the slice, one sentence each."""
    needs_people: bool = False
    """Whether the people behind the numbers are asked for, so that counts by the server are not enough."""
    person_conditions: list[str] = field(default_factory=list)
    """DuckDB conditions on ``person``, for each table that is loaded (see ``restriction``)."""
    event_conditions: list[str] = field(default_factory=list)
    """The same, on ``id`` and ``name`` of events."""

    def event_ids(self, names: Collection[str]) -> list[int]:
        """Look up ``keys.id`` of events' names, in their order. A name without events in the slice becomes a note.

        Raises:
            PermanentError: No event has one of the names; the message suggests similar ones.
        """
        return [self._key_of(EVENT, name) for name in names]

    def property_id(self, name: str, since: datetime | None = None) -> int:
        """Look up ``keys.id`` of a property's name. A property without values in the slice becomes a note.

        Args:
            name: The name.
            since: Where its values begin to count; None: at the beginning of the span.

        Raises:
            PermanentError: No property has this name; the message suggests similar ones.
        """
        return self._key_of(PROPERTY, name, since)

    def _key_of(self, kind: Kind, name: str, since: datetime | None = None) -> int:
        with transaction(self.engine) as connection:
            key = key_of(connection, kind, name)
            self.names[key] = name
            inside = select(exists().where(kind.column == key, *in_span(kind.t, since or self.span.since, self.until)))
            if not connection.execute(inside).scalar():
                first, last = time_span(connection, kind, key)
                self.note(f"There is no “{name}” in this span: its {kind.plural} are {_days(first, last)}.")
        return key

    def note(self, text: str) -> None:
        """Add a sentence to `notes`, once."""
        if text not in self.notes:
            self.notes.append(text)

    def look_up_names(self, ids: Collection[int]) -> None:
        """Add the names of these ``keys.id`` to `names`."""
        with transaction(self.engine) as connection:
            rows = connection.execute(select(Key.id, Key.string).where(Key.id.in_(ids)))
            self.names |= {row.id: row.string for row in rows}

    def take_events(
        self,
        ids: Collection[int],
        *,
        without: Collection[int] = (),
        people_with: int | None = None,
        seconds_before: int = 0,
    ) -> None:
        """Load events as the table ``facts (person, t, id, name)``; ``t`` is in seconds since 1970.

        Args:
            ids: Load events with these names (``keys.id``); all names if it is empty.
            without: Exclude events with these names.
            people_with: The question needs only people with an event of this name. If there are more than
                `MAX_PEOPLE_LOOKED_UP`, the events of all people are loaded.
            seconds_before: How long before the span events are loaded too.
        """
        events = select(Event.user_id.label("person"), seconds_of(Event.t).label("t"), Event.id, Event.n.label("name"))
        narrowed = self.bound(events, EVENT, ids, since=shift(self.span.since, -seconds_before))
        if without:
            narrowed = narrowed.where(Event.n.not_in(sorted(set(without))))
        if people_with is not None:
            narrowed = self.of_people_with(people_with, narrowed, Event.user_id)
        self.take("facts", narrowed, is_large=True)

    def of_people_with(
        self, event: int, statement: Select[*tuple[Any, ...]], person: SQLColumnExpression[int]
    ) -> Select[*tuple[Any, ...]]:
        """Narrow a statement to the people with an event of this name, unless they are too many for that to help.

        Args:
            event: The ``keys.id`` of the event.
            statement: The statement to narrow.
            person: Its column with the person.
        """
        people = self.bound(select(Event.user_id), EVENT, [event])
        are_few = self._are_few_in_copy(self.copy, people) if self.copy else self._are_few(people)
        return statement.where(person.in_(people)) if are_few else statement

    def bound(
        self,
        statement: Select[*tuple[Any, ...]],
        kind: Kind,
        names: Collection[int],
        until: datetime | None = None,
        since: datetime | None = None,
    ) -> Select[*tuple[Any, ...]]:
        """Add the slice's bounds on time to a statement, and these names (``keys.id``) if there are any.

        Args:
            statement: Selects from the table of the kind.
            kind: Events or properties.
            names: All names if it is empty.
            until: Another end than the slice's.
            since: Another beginning than the span's.
        """
        narrowed = statement.where(*in_span(kind.t, since or self.span.since, until or self.until))
        return narrowed.where(kind.column.in_(sorted(set(names)))) if names else narrowed

    def _are_few(self, people: Select[tuple[int]]) -> bool:
        some = people.distinct().limit(MAX_PEOPLE_LOOKED_UP + 1).subquery()
        with transaction(self.engine) as connection:
            return connection.execute(select(func.count()).select_from(some)).scalar_one() <= MAX_PEOPLE_LOOKED_UP

    def _are_few_in_copy(self, copy: CopyReader, people: Select[tuple[int]]) -> bool:
        counted = f"SELECT approx_count_distinct(user_id) FROM ({duckdb_sql(people)})"
        ((found,),) = self.duck.execute(counted).fetchall()
        return bool(found < MAX_SHARE_LOOKED_UP * copy.manifest.state.last_identity)

    def take(self, table: str, statement: Select[*tuple[Any, ...]], *, is_large: bool = False) -> None:
        """Create a table of the rows of a statement that are in the segment.

        Args:
            table: Its name.
            statement: Selects from the tables of facts.
            is_large: It may have all events. If DuckDB reads the copy, it becomes a view, and nothing is stored twice.
        """
        columns = {column.name: column.type for column in statement.selected_columns}
        if self.copy:
            self._take_from_copy("VIEW" if is_large else "TABLE", table, columns, duckdb_sql(statement))
        else:
            self._take_from_server(table, columns, mysql_sql(statement))

    def _take_from_copy(self, kind: str, table: str, columns: dict[str, Any], sql: str) -> None:
        self.statements.append(self._with_names(sql))
        typed = ", ".join(f"{name}::{_duck_type(kind)} AS {name}" for name, kind in columns.items())
        conditions = " AND ".join(f"({condition})" for condition in self._conditions(columns)) or "true"
        self.duck.execute(f"CREATE {kind} {table} AS SELECT {typed} FROM ({sql}) WHERE {conditions}")

    def _take_from_server(self, table: str, columns: dict[str, Any], sql: str) -> None:
        self.statements.append(self._with_names(sql))
        types = ", ".join(f"{name} {_duck_type(kind)}" for name, kind in columns.items())
        self.duck.execute(f"CREATE TABLE {table} ({types})")
        with transaction(self.engine) as connection:
            for rows in stream(connection, sql):
                self._insert(table, columns, rows)
        for condition in self._conditions(columns):
            self.duck.execute(f"DELETE FROM {table} WHERE NOT ({condition})")

    def _conditions(self, columns: Collection[str]) -> list[str]:
        """Return the conditions of the segment on a table with these columns."""
        is_of_people, is_of_events = "person" in columns, {"id", "name"} <= set(columns)
        return [*(self.person_conditions if is_of_people else ()), *(self.event_conditions if is_of_events else ())]

    def put(self, table: str, rows: pa.Table) -> None:
        """Create a table with these rows."""
        self.duck.register("batch", rows)
        self.duck.execute(f"CREATE TABLE {table} AS SELECT * FROM batch")
        self.duck.unregister("batch")

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


def mysql_sql(statement: Select[*tuple[Any, ...]]) -> str:
    """Return a statement with its values as SQL for the server."""
    return str(statement.compile(dialect=mysql.dialect(paramstyle="named"), compile_kwargs={"literal_binds": True}))


def _duck_type(kind: Any) -> str:  # noqa: ANN401 - SQLAlchemy types a column's type so
    return "TEXT" if isinstance(kind, Text) else "DOUBLE" if isinstance(kind, Float) else "BIGINT"


def query_frame(duck: "DuckDBPyConnection", sql: str) -> "pl.DataFrame":
    """Run a query in DuckDB and return its rows as a Polars frame."""
    found: pl.DataFrame = duck.sql(sql).pl()
    return found


def naive_utc(t: datetime) -> datetime:
    """Return a time in UTC as the tables store it: without a time zone."""
    return t.replace(tzinfo=None)


def in_span(t: SQLColumnExpression[datetime], start: datetime, end: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that a time is in a span; the server prunes partitions by them.

    Args:
        t: The column with the time.
        start: The first moment, UTC.
        end: The end, UTC, exclusive; the latest possible time is inclusive.
    """
    return t >= naive_utc(start), t <= naive_utc(end) if includes_latest(end) else t < naive_utc(end)


@contextmanager
def open_slice(engine: Engine, when: When, reach: int = 0, copy: CopyReader | None = None) -> Iterator[Slice]:
    """Open an empty slice, and delete its files at the end.

    Args:
        engine: The warehouse.
        when: The time that the question is about, as the user writes it.
        reach: Seconds after the span that are loaded too.
        copy: Where facts are read. None: the tables.

    Raises:
        PermanentError: DuckDB is not installed, nothing is imported, or the span is empty.
    """
    try:
        import duckdb
    except ImportError:
        raise PermanentError("Questions need DuckDB and Polars: pip install 'kmdb-dagster[analysis]'") from None
    span = resolve_span(_newest_fact(engine) if copy is None else copy.manifest.state.newest_fact, when)
    with slice_folder() as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "temp_directory": str(folder),
            "preserve_insertion_order": False,
        }
        with duckdb.connect(str(folder / "slice"), config=settings) as duck:
            if copy:
                copy.attach(duck)
            yield Slice(engine, duck, span, copy, shift(span.until, reach))


def resolve_span(newest: datetime | None, when: When) -> Span:
    """Fill in what the user left open: the end of the imported data, and 30 days before it.

    Args:
        newest: The time of the newest fact. None: nothing is imported.
        when: The time that the question is about, as the user writes it.

    Raises:
        PermanentError: Nothing is imported, or the span is empty.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    known = shift(min(newest.replace(tzinfo=UTC), now), 1) if newest else None
    until = when.until or known
    if until is None:
        raise PermanentError("Nothing is imported yet, so there is nothing to ask about. Run `kmdb import`.")
    since = when.since or shift(last_midnight(shift(until, -when.last), when.zone), 0)
    return Span(since, until, known, when.zone)


def _newest_fact(engine: Engine) -> datetime | None:
    with transaction(engine) as connection:
        return connection.execute(select(func.max(Revision.t_max)).where(Revision.imported_at.is_not(None))).scalar()


def _days(first: datetime, last: datetime) -> str:
    """Write the time between two moments by their days: ``from 2014-01-01 to 2014-02-03``."""
    days = [f"{t:%Y-%m-%d}" for t in (first, last)]
    return f"on {days[0]}" if days[0] == days[1] else f"from {days[0]} to {days[1]}"
