"""Lazy queries: scopes are added one by one, and the query runs when its rows are read.

Each running query has a connection of its own, so queries may overlap.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import pyarrow as pa
from sqlalchemy import ColumnElement, Select, SQLColumnExpression, func, inspect, select
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import InstrumentedAttribute, Mapper, Session

from kmdb_dagster.analysis.database import current_engine
from kmdb_dagster.analysis.names import unique_names
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.connection.mysql_errors import translate_mysql_errors

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

ROWS_PER_BATCH = 10_000
TYPES: dict[type, pa.DataType] = {
    int: pa.int64(),
    datetime: pa.timestamp("ms", tz="UTC"),
    bytes: pa.binary(),
    str: pa.string(),
}
"""Python types of columns, and their Arrow types."""
NOT_IN_FRAMES = {"digest"}

M = TypeVar("M")


@dataclass(frozen=True)
class Query(Generic[M]):
    """A lazy query of a model class. Iterating runs it, and streams the rows in batches of `ROWS_PER_BATCH`."""

    model: type[M]
    select: Select[Any]
    """The SQLAlchemy statement, to extend it there."""
    values: tuple[tuple[str, SQLColumnExpression[str | None]], ...] = ()
    """Properties loaded with the rows: name and column."""

    @classmethod
    def of(cls, model: type[M]) -> Self:
        """Return a query of all rows of a model class."""
        return cls(model, select(model).select_from(model))

    def where(self, *conditions: ColumnElement[bool]) -> Self:
        """Keep rows for which all conditions hold: ``where(Event.identity_id == 5)``."""
        return replace(self, select=self.select.where(*conditions))

    def order_by(self, *columns: ColumnElement[Any] | InstrumentedAttribute[Any]) -> Self:
        """Sort by these columns, after the columns that it is sorted by already."""
        return replace(self, select=self.select.order_by(*columns))

    def limit(self, rows: int) -> Self:
        """Return at most this many rows."""
        return replace(self, select=self.select.limit(rows))

    def sql(self) -> str:
        """Return the statement with its values. It may show personal data."""
        # The driver's own parameter style would double every %.
        dialect = mysql.dialect(paramstyle="named")
        return str(self.select.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))

    def __str__(self) -> str:
        """Return the statement."""
        return self.sql()

    def __iter__(self) -> Iterator[M]:
        """Run the query, and stream its rows."""
        names = [name for name, _ in self.values]
        with _session() as session:
            for row in session.execute(self.select, execution_options={"yield_per": ROWS_PER_BATCH}):
                if names:
                    row[0].loaded = dict(zip(names, row[1:], strict=True))
                yield row[0]

    def first(self) -> M | None:
        """Return the first row, or None."""
        rows = list(self.limit(1))
        return rows[0] if rows else None

    def count(self) -> int:
        """Count the rows on the server."""
        counted = self.select.order_by(None).with_only_columns(self._columns()[0])
        with _session() as session:
            return session.scalar(select(func.count()).select_from(counted.subquery())) or 0

    def arrow_batches(self) -> Iterator[pa.RecordBatch]:
        """Stream the rows as Arrow batches of `ROWS_PER_BATCH`, for results larger than memory. Times are UTC."""
        schema = self._schema()
        columns = [*self._columns(), *(value for _, value in self.values)]
        wanted = self.select.with_only_columns(*columns)
        with _session() as session:
            result = session.execute(wanted, execution_options={"yield_per": ROWS_PER_BATCH})
            for rows in result.partitions():
                arrays = [
                    pa.array(cells, field.type) for cells, field in zip(zip(*rows, strict=True), schema, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def to_arrow(self) -> pa.Table:
        """Return all rows as an Arrow table. Times are UTC, ``timestamp[ms]``."""
        return pa.Table.from_batches(self.arrow_batches(), schema=self._schema())

    def to_polars(self) -> "pl.DataFrame":
        """Return all rows as a Polars frame. Times are UTC.

        Raises:
            PermanentError: Polars is not installed.
        """
        try:
            import polars as pl  # noqa: PLC0415 - an optional dependency
        except ModuleNotFoundError:
            raise PermanentError("A Polars frame needs Polars: pip install 'kmdb-dagster[analysis]'") from None
        frame = pl.from_arrow(self.to_arrow())
        return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()

    def to_pandas(self) -> "pd.DataFrame":
        """Return all rows as a pandas frame. Needs pandas."""
        return self.to_arrow().to_pandas()

    def _columns(self) -> list[InstrumentedAttribute[Any]]:
        mapper: Mapper[M] = inspect(self.model)
        return [getattr(self.model, column.key) for column in mapper.column_attrs if column.key not in NOT_IN_FRAMES]

    def _schema(self) -> pa.Schema:
        fields = [(column.key, TYPES[column.type.python_type]) for column in self._columns()]
        names = unique_names([name for name, _ in self.values], taken=[name for name, _ in fields])
        return pa.schema([*fields, *((name, pa.string()) for name in names.values())])


@contextmanager
def _session() -> Iterator[Session]:
    """Open a connection for one query. A caller that stops early does not wait for the remaining rows."""
    engine = current_engine()
    with translate_mysql_errors(engine), Session(engine, expire_on_commit=False) as session:
        try:
            yield session
        except BaseException:
            session.invalidate()
            raise
