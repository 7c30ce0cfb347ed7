"""Compare the content of all tables. Interned ids are replaced by their names."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Table, select

from kmdb_dagster.warehouse.schema.tables import Base

NAMED = {
    "n": "keys",
    "key": "keys",
    "user_id": "users",
    "identity_id": "users",
    "identity1_id": "users",
    "identity2_id": "users",
    "from_user_id": "users",
}
"""Columns that hold such an id, and the table that has its name."""

COUNTED = {"keys", "users", "pending_moves", "pending_spans"}
"""Tables whose own ids are handed out as rows come."""

LEFT_OUT = {
    ("map_state", "version"),  # counts how often the map changed on the way
    ("warehouse_state", "generation"),  # another one for each round
    ("revisions", "imported_at"),
    ("bindings", "database_id"),
    ("bindings", "created_at"),
    ("bindings", "bucket_bound_at"),
    ("data_folders", "id"),  # another one for each round
    ("data_folders", "used_at"),
}

NOT_COMPARED = {
    "changed_revisions",  # what the last bucket scan saw, which may be older than the last import
    "changed_days",  # a load that is repeated appends its days again
}

Row = tuple[Any, ...]
Content = dict[str, Counter[Row]]


class Difference(NamedTuple):
    """The difference of two contents: missing rows, extra rows, and the number of tables that differ."""

    lost: int
    twice: int
    tables: tuple[str, ...]


def content(engine: Engine) -> Content:
    """Read every row of every table."""
    with engine.connect() as connection:
        names = {table: _names(connection, Base.metadata.tables[table]) for table in ("keys", "users")}
        tables = [table for table in Base.metadata.sorted_tables if table.name not in NOT_COMPARED]
        return {table.name: _rows(connection, table, names) for table in tables}


def difference(expected: Content, found: Content) -> Difference:
    """Return how the found content differs from the expected one."""
    lost = {table: (expected[table] - found[table]).total() for table in expected}
    twice = {table: (found[table] - expected[table]).total() for table in expected}
    return Difference(
        sum(lost.values()), sum(twice.values()), tuple(table for table in expected if lost[table] or twice[table])
    )


def _names(connection: Connection, table: Table) -> dict[int, str]:
    return {row[0]: row[1] for row in connection.execute(select(table.columns[0], table.columns[1]))}


def _rows(connection: Connection, table: Table, names: Mapping[str, Mapping[int, str]]) -> Counter[Row]:
    columns = [column for column in table.columns if not _left_out(table.name, column.name)]
    translate = [names.get(NAMED.get(column.name, "")) for column in columns]
    return Counter(
        tuple(value if of is None else of.get(value) for value, of in zip(row, translate, strict=True))
        for row in connection.execute(select(*columns))
    )


def _left_out(table: str, column: str) -> bool:
    return (table, column) in LEFT_OUT or (column == "id" and table in COUNTED)
