"""One consistent snapshot of the warehouse: its state, its time partitions, and the rows of its tables."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Engine, text

from kmdb_dagster.columnar.manifest import Bounds, IdRange, Span, WarehouseState
from kmdb_dagster.errors import TransientError
from kmdb_dagster.warehouse.connection.mysql_errors import translate_mysql_errors
from kmdb_dagster.warehouse.connection.streams import numbers, stream
from kmdb_dagster.warehouse.identity.map_lock import BEING_FLUSHED
from kmdb_dagster.warehouse.ledger.changed_days import ChangedDays, read_changed_days
from kmdb_dagster.warehouse.maintenance.flush import FLUSHING
from kmdb_dagster.warehouse.maintenance.time_partitions import read_partitions
from kmdb_dagster.warehouse.schema.state_rows import required
from kmdb_dagster.warehouse.schema.tables import FACTS

TIME = pa.timestamp("ms")
SECONDS = "TIMESTAMPDIFF(SECOND, '1970-01-01', t)"
ROWS_PER_FETCH = 100_000
TEXTS_PER_FETCH = 5_000
"""A value may have megabytes."""


class Source(NamedTuple):
    """A table of the copy: its columns, and the SQL of each."""

    schema: pa.Schema
    columns: tuple[str, ...]

    @property
    def is_numeric(self) -> bool:
        """Whether no column is text or may be NULL."""
        return not any(field.nullable for field in self.schema)


def _source(**columns: tuple[pa.DataType, str]) -> Source:
    fields = [pa.field(name, kind, nullable=sql.endswith("?")) for name, (kind, sql) in columns.items()]
    return Source(pa.schema(fields), tuple(sql.removesuffix("?") for _, sql in columns.values()))


NUMBER, TEXT = pa.int64(), pa.string()
SOURCES = {
    "events": _source(id=(NUMBER, "id"), t=(TIME, SECONDS), n=(NUMBER, "n"), identity_id=(NUMBER, "identity_id")),
    "properties": _source(
        id=(NUMBER, "id"),
        t=(TIME, SECONDS),
        key=(NUMBER, "`key`"),
        value=(TEXT, "value?"),
        event_id=(NUMBER, "event_id?"),
        identity_id=(NUMBER, "identity_id"),
    ),
    "keys": _source(id=(NUMBER, "id"), string=(TEXT, "string?")),
    "user_map": _source(identity_id=(NUMBER, "identity_id"), user_id=(NUMBER, "user_id")),
    "users": _source(id=(NUMBER, "id"), name=(TEXT, "name?")),
}
"""The tables of the copy. A question mark: text, or NULL."""
NAMES = tuple(table for table in SOURCES if table not in FACTS)
"""The tables of names, by ranges of ids."""
IDS_PER_FILE = 500_000
LAST_IDS = "SELECT (SELECT COALESCE(MAX(id), 0) FROM `keys`), (SELECT COALESCE(MAX(id), 0) FROM users)"

LEDGER = (
    "SELECT COUNT(*), MAX(revision), MAX(t_max), COALESCE(SUM(events), 0), COALESCE(SUM(properties), 0) FROM revisions "
    "WHERE imported_at IS NOT NULL AND etag IS NOT NULL"
)


@contextmanager
def open_snapshot(engine: Engine) -> Iterator["Snapshot"]:
    """Open a snapshot: everything that is read in it is of one moment. Imports go on meanwhile."""
    options = engine.execution_options(isolation_level="REPEATABLE READ")
    with translate_mysql_errors(engine), options.connect() as connection:
        connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        yield Snapshot(connection)
        connection.rollback()


class Snapshot:
    """The warehouse at one moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def state(self) -> WarehouseState:
        """Read the state that a manifest carries."""
        return read_state(self._connection)

    def changed_days(self) -> ChangedDays:
        """Read what has changed since the last refresh."""
        return read_changed_days(self._connection)

    def partitions(self, state: WarehouseState) -> list[tuple[str, Bounds]]:
        """Return the time partitions of the facts that are kept, as pairs of table and bounds."""
        found = []
        for table in FACTS:
            start = None
            for partition in read_partitions(self._connection):
                if partition.table == table:
                    bounds = Bounds(start, partition.before)
                    if not _is_dropped(bounds, state):
                        found.append((table, bounds))
                    start = partition.before
        return found

    def rows(self, table: str, bounds: Span, only: str = "TRUE") -> Generator[pa.Table]:
        """Stream the rows of a table: of a span of time in no order, or of a range of ids in their order.

        Close it before anything else is read.

        Args:
            table: The table.
            bounds: Which of its rows.
            only: Another condition in SQL.
        """
        source = SOURCES[table]
        columns = ", ".join(source.columns)
        statement = f"SELECT {columns} FROM `{table}` WHERE {_condition(source, bounds)} AND ({only})"  # noqa: S608 - ours
        fetched = ROWS_PER_FETCH if source.is_numeric else TEXTS_PER_FETCH
        with closing(stream(self._connection, statement, fetched)) as batches:
            for rows in batches:
                yield _as_table(source, rows)


def read_state(connection: Connection) -> WarehouseState:
    """Read the state of the warehouse.

    Raises:
        TransientError: it is being flushed.
    """
    row = connection.exec_driver_sql("SELECT generation, facts_from FROM warehouse_state WHERE id = 1").first()
    generation, facts_from = required("warehouse_state", row)
    if generation == FLUSHING:
        raise TransientError(BEING_FLUSHED)
    version = required("map_state", connection.execute(text("SELECT version FROM map_state WHERE id = 1")).scalar())
    revisions, revision, fact, events, properties = connection.execute(text(LEDGER)).one()
    last_ids = map(int, connection.exec_driver_sql(LAST_IDS).one())
    return WarehouseState(
        generation, int(version), facts_from, revisions, revision, fact, int(events), int(properties), *last_ids
    )


def id_ranges(state: WarehouseState) -> list[tuple[str, IdRange]]:
    """Return the ranges of ids of the tables of names, as pairs of table and range."""
    return [
        (table, IdRange(start, start + IDS_PER_FILE))
        for table in NAMES
        for start in range(0, state.last_id(table) + 1, IDS_PER_FILE)
    ]


def _is_dropped(bounds: Bounds, state: WarehouseState) -> bool:
    since = state.facts_from
    return bool(since and bounds.before and bounds.before <= since.date())


def _condition(source: Source, bounds: Span) -> str:
    if isinstance(bounds, IdRange):
        return f"{source.columns[0]} >= {bounds.start} AND {source.columns[0]} < {bounds.before}"
    conditions = [f"t >= '{bounds.start}'"] if bounds.start else []
    conditions += [f"t < '{bounds.before}'"] if bounds.before else []
    return " AND ".join(conditions) or "TRUE"


def _as_table(source: Source, rows: Any) -> pa.Table:  # noqa: ANN401 - rows of the driver
    columns = numbers(rows).T if source.is_numeric else zip(*rows, strict=True)
    return pa.table(
        [_array(cells, field.type) for cells, field in zip(columns, source.schema, strict=True)], schema=source.schema
    )


def _array(cells: Any, kind: pa.DataType) -> Any:  # noqa: ANN401 - pyarrow's arrays are many classes
    if kind == TIME:
        return pa.array(np.asarray(cells, np.int64) * 1000).cast(TIME)
    return pa.array(np.ascontiguousarray(cells) if isinstance(cells, np.ndarray) else cells, kind)
