"""Rows and bytes of every table of the warehouse, as the server estimates them."""

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, text

from kmdb_dagster.warehouse.schema.tables import Base

STATEMENT = (
    "SELECT TABLE_NAME, TABLE_ROWS, DATA_LENGTH + INDEX_LENGTH FROM INFORMATION_SCHEMA.TABLES "
    "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN :tables ORDER BY 3 DESC, 1"
)


class TableSize(NamedTuple):
    """The estimated size of a table, with its indexes and all its time partitions."""

    table: str
    rows: int
    bytes: int


def read_table_sizes(connection: Connection) -> list[TableSize]:
    """Read the sizes of our tables, the largest first. MySQL refreshes its estimates once a day."""
    found = connection.execute(
        text(STATEMENT).bindparams(bindparam("tables", sorted(Base.metadata.tables), expanding=True))
    )
    return [TableSize(str(table), int(rows or 0), int(size or 0)) for table, rows, size in found]
