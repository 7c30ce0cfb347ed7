"""The SQL of the questions: it narrows, the server answers, and what comes back flows into a DuckDB for the rest.

A slice holds no more than whole numbers of the events that a question names: 20 bytes each, in blocks that DuckDB puts
on disk when they grow. So no question needs more memory than `MEMORY`, however many events there are. What is
computed from a slice is not known here. Persons are numbers; no identity is read.
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
from kmdb_dagster.questions.duck import EMPTY, apart
from kmdb_dagster.questions.span import Span, When, reaches_latest, shifted
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.connection.streams import numbers, stream
from kmdb_dagster.warehouse.schema.tables import Event, Key, Property, Revision

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = "1GB"
"""What DuckDB holds before it uses the disk."""
LONGEST_LABEL = 200
"""Characters of a property's value; what is longer is one value with all that begins the same."""
MOST_LOOKED_UP = 100_000
"""People whose events are looked up one after another."""
MOST_COMPARED = 20_000
"""Names that a misspelled one is compared with."""


@dataclass
class Slice:
    """The facts of a question, in a DuckDB of its own. Tables: ``facts``, ``labels``, and what `take` is asked for."""

    engine: Engine
    duck: "DuckDBPyConnection"
    statements: list[str] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    """Every ``keys.id`` that was looked up."""

    def keys(self, names: Collection[str]) -> list[int]:
        """``keys.id`` of names, in their order.

        Raises:
            PermanentError: there is no such name.
        """
        with transaction(self.engine) as connection:
            rows = connection.execute(select(Key.digest, Key.id).where(Key.digest.in_(set(map(digest, names)))))
            found = {row.digest: row.id for row in rows}
            missing = [name for name in names if digest(name) not in found]
            if missing:
                there = connection.execute(select(Key.string).limit(MOST_COMPARED)).scalars().all()
                raise PermanentError(_no_such_name(missing[0], there))
        ids = [int(found[digest(name)]) for name in names]
        self.names |= dict(zip(ids, names, strict=True))
        return ids

    def name_all(self, ids: Collection[int]) -> None:
        """Look up the names of ids."""
        with transaction(self.engine) as connection:
            self.names |= {
                row.id: row.string for row in connection.execute(select(Key.id, Key.string).where(Key.id.in_(ids)))
            }

    def take_events(
        self,
        ids: Collection[int],
        start: datetime,
        end: datetime,
        *,
        without: Collection[int] = (),
        of: int | None = None,
    ) -> None:
        """Events as the table ``facts (person, t, id, name)``.

        Args:
            ids: of these names; none: of all.
            start: from then,
            end: until before then.
            without: but not of these names.
            of: of people who did this are enough. If they are many, those of everybody are faster to read.
        """
        events = select(Event.user_id.label("person"), second(Event.t).label("t"), Event.id, Event.n.label("name"))
        narrowed = bounded(events, Event, start, end, ids)
        if without:
            narrowed = narrowed.where(Event.n.not_in(sorted(set(without))))
        if of is not None:
            people = bounded(select(Event.user_id), Event, start, end, [of])
            if self._are_few(people):
                narrowed = narrowed.where(Event.user_id.in_(people))
        self.take("facts", narrowed)

    def _are_few(self, people: Select[tuple[int]]) -> bool:
        some = people.distinct().limit(MOST_LOOKED_UP + 1).subquery()
        with transaction(self.engine) as connection:
            return connection.execute(select(func.count()).select_from(some)).scalar_one() <= MOST_LOOKED_UP

    def take_labels(self, name: str | None, start: datetime, end: datetime, table: str = "labels") -> None:
        """Each person's first value of a property, as a table ``(person, t, id, label)``; none if there is no name."""
        if name is None:
            self.duck.execute(f"CREATE TABLE {table} (person BIGINT, t BIGINT, id BIGINT, label TEXT)")
            return
        statement = select(
            Property.user_id.label("person"),
            second(Property.t).label("t"),
            Property.id,
            func.left(Property.value, LONGEST_LABEL, type_=Text).label("label"),
        ).where(Property.value.is_not(None))
        self.take(f"all_{table}", bounded(statement, Property, start, end, self.keys([name])))
        self.duck.execute(FIRST_LABELS.format(table=table))

    def take(self, table: str, statement: Select[*tuple[Any, ...]]) -> None:
        """Let the rows of a statement flow into a table."""
        columns = {column.name: column.type for column in statement.selected_columns}
        types = ", ".join(f"{name} {'TEXT' if isinstance(kind, Text) else 'BIGINT'}" for name, kind in columns.items())
        self.duck.execute(f"CREATE TABLE {table} ({types})")
        words = str(
            statement.compile(dialect=mysql.dialect(paramstyle="named"), compile_kwargs={"literal_binds": True})
        )
        self.statements.append(self._explained(words))
        with transaction(self.engine) as connection:
            for rows in stream(connection, words):
                self._put(table, columns, rows)

    def _put(self, table: str, columns: dict[str, Any], rows: Sequence[Sequence[Any]]) -> None:
        whole = all(isinstance(kind, Integer) for kind in columns.values())
        cells = numbers(rows).T if whole else zip(*rows, strict=True)
        self.duck.register("batch", pa.table(list(map(pa.array, cells)), list(columns)))
        self.duck.execute(f"INSERT INTO {table} SELECT * FROM batch")
        self.duck.unregister("batch")

    def _explained(self, statement: str) -> str:
        named = ", ".join(f"{number} = {name!r}" for number, name in self.names.items() if str(number) in statement)
        return f"-- {named}\n{statement}" if named else statement


FIRST_LABELS = f"""
    CREATE TABLE {{table}} AS
    SELECT person, min(t) AS t, min_by(id, (t, id)) AS id,
        coalesce(nullif({apart("min_by(label, (t, id))")}, ''), '{EMPTY}') AS label
    FROM all_{{table}} GROUP BY person
"""


def second(t: SQLColumnExpression[datetime]) -> ColumnElement[int]:
    """A time as seconds since 1970. UNIX_TIMESTAMP knows no year before that, nor, on MariaDB, after 2038."""
    return func.timestampdiff(literal_column("SECOND"), literal_column("'1970-01-01'"), t, type_=Integer)


def bare(t: datetime) -> datetime:
    """A time as the tables have it: UTC, without saying so."""
    return t.replace(tzinfo=None)


def within(t: SQLColumnExpression[datetime], start: datetime, end: datetime) -> tuple[ColumnElement[bool], ...]:
    """The conditions that a time is in a span, for the server to prune partitions by."""
    return t >= bare(start), t <= bare(end) if reaches_latest(end) else t < bare(end)


def bounded(
    statement: Select[*tuple[Any, ...]],
    table: type[Event | Property],
    start: datetime,
    end: datetime,
    names: Collection[int],
) -> Select[*tuple[Any, ...]]:
    """A statement bounded to a span of time, so to its time partitions, and to some names."""
    narrowed = statement.where(*within(table.t, start, end))
    name = Event.n if table is Event else Property.key
    return narrowed.where(name.in_(sorted(set(names)))) if names else narrowed


@contextmanager
def opened(engine: Engine) -> Iterator[Slice]:
    """An empty slice. What it put on disk is gone at the end.

    Raises:
        PermanentError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise PermanentError("Questions need more: pip install 'kmdb-dagster[analysis]'") from None
    with tempfile.TemporaryDirectory(prefix="kmdb-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "temp_directory": folder,
            "preserve_insertion_order": False,
        }
        with duckdb.connect(f"{folder}/slice", config=settings) as duck:
            yield Slice(engine, duck)


def span_of(engine: Engine, when: When) -> Span:
    """The span of a question. Where nothing is said it ends with what is in, and is 30 days long.

    Raises:
        PermanentError: nothing is in, or the span is empty.
    """
    with transaction(engine) as connection:
        newest = connection.execute(select(func.max(Revision.t_max)).where(Revision.imported_at.is_not(None))).scalar()
    now = datetime.now(UTC).replace(microsecond=0)
    known = shifted(min(newest.replace(tzinfo=UTC), now), 1) if newest else None
    until = when.until or known
    if until is None:
        raise PermanentError("Nothing is imported yet, so there is nothing to ask about.")
    since = when.since or shifted(until, -when.last).replace(hour=0, minute=0, second=0)
    return Span(since, until, known)


def _no_such_name(name: str, there: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, there, n=3)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"No event or property is called {name!r}.{hint}"
