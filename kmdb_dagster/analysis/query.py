"""A question that is not asked yet: scopes are added one by one, and it is asked when its rows are wanted.

Every question has a connection of its own for as long as its rows come, so others may be asked meanwhile.
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

ROWS_AT_ONCE = 10_000
TYPES: dict[type, pa.DataType] = {
    int: pa.int64(),
    datetime: pa.timestamp("ms", tz="UTC"),
    bytes: pa.binary(),
    str: pa.string(),
}
"""What columns become in Arrow."""
NOT_IN_FRAMES = {"digest"}

M = TypeVar("M")


@dataclass(frozen=True)
class Query(Generic[M]):
    """Rows of a model class. Iterate over it: it is asked then, and its rows are read as they come, some at a time."""

    model: type[M]
    select: Select[Any]
    """The same for SQLAlchemy, if you want to go on with it there."""
    values: tuple[tuple[str, SQLColumnExpression[str | None]], ...] = ()
    """Properties that come along, by name."""

    @classmethod
    def of(cls, model: type[M]) -> Self:
        """All rows."""
        return cls(model, select(model).select_from(model))

    def where(self, *conditions: ColumnElement[bool]) -> Self:
        """Only rows for which these hold: ``where(Event.identity_id == 5)``."""
        return replace(self, select=self.select.where(*conditions))

    def order_by(self, *columns: ColumnElement[Any] | InstrumentedAttribute[Any]) -> Self:
        """Sorted by these, after what it is sorted by already."""
        return replace(self, select=self.select.order_by(*columns))

    def limit(self, rows: int) -> Self:
        """So many rows at the most."""
        return replace(self, select=self.select.limit(rows))

    def sql(self) -> str:
        """The statement, with its values in it. It may show personal data."""
        # Parameters of this style, because with the driver's own every % would be doubled.
        dialect = mysql.dialect(paramstyle="named")
        return str(self.select.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))

    def __str__(self) -> str:
        """The statement."""
        return self.sql()

    def __iter__(self) -> Iterator[M]:
        """Ask, and read the rows as they come."""
        names = [name for name, _ in self.values]
        with _session() as session:
            for row in session.execute(self.select, execution_options={"yield_per": ROWS_AT_ONCE}):
                if names:
                    row[0].loaded = dict(zip(names, row[1:], strict=True))
                yield row[0]

    def first(self) -> M | None:
        """The first row, if there is one."""
        rows = list(self.limit(1))
        return rows[0] if rows else None

    def count(self) -> int:
        """How many rows there are."""
        counted = self.select.order_by(None).with_only_columns(self._columns()[0])
        with _session() as session:
            return session.scalar(select(func.count()).select_from(counted.subquery())) or 0

    def arrow_batches(self) -> Iterator[pa.RecordBatch]:
        """The rows as columns, some thousands at a time: for results that are larger than memory."""
        schema = self._schema()
        columns = [*self._columns(), *(value for _, value in self.values)]
        wanted = self.select.with_only_columns(*columns)
        with _session() as session:
            result = session.execute(wanted, execution_options={"yield_per": ROWS_AT_ONCE})
            for rows in result.partitions():
                arrays = [
                    pa.array(cells, field.type) for cells, field in zip(zip(*rows, strict=True), schema, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def to_arrow(self) -> pa.Table:
        """All rows as an Arrow table. Times are UTC."""
        return pa.Table.from_batches(self.arrow_batches(), schema=self._schema())

    def to_polars(self) -> "pl.DataFrame":
        """All rows as a Polars frame.

        Raises:
            PermanentError: Polars is not installed.
        """
        try:
            import polars as pl  # noqa: PLC0415 - only who wants it needs it
        except ModuleNotFoundError:
            raise PermanentError("A Polars frame needs more: pip install 'kmdb-dagster[analysis]'") from None
        frame = pl.from_arrow(self.to_arrow())
        return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()

    def to_pandas(self) -> "pd.DataFrame":
        """All rows as a pandas frame, if pandas is installed."""
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
    """A connection for one question. Whoever leaves before the last row does not wait for the others to arrive."""
    engine = current_engine()
    with translate_mysql_errors(engine), Session(engine, expire_on_commit=False) as session:
        try:
            yield session
        except BaseException:
            session.invalidate()
            raise
