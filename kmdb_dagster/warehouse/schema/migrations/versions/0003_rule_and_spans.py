"""The rule for people: placeholders, and numeric identities apart. Moves that wait name their span of time."""

from alembic import op
from sqlalchemy import Connection, inspect, text

from kmdb_dagster.warehouse.connection.server import server_of

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SPAN = (
    "t_min DATETIME NOT NULL DEFAULT '1000-01-01 00:00:00'",
    "t_max DATETIME NOT NULL DEFAULT '9999-12-31 23:59:59'",
)
TABLES = {
    "placeholder_identities": "(id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name LONGTEXT NOT NULL)",
    "pending_spans": "(id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, table_name VARCHAR(64) NOT NULL, "
    f"{', '.join(SPAN)})",
}
COLUMNS = {
    "map_state": ("numeric_apart TINYINT(1) NOT NULL DEFAULT 0", "placeholders LONGTEXT NULL"),
    "pending_moves": SPAN,
}


def upgrade() -> None:
    connection = op.get_bind()
    collation = server_of(connection).exact_collation
    options = f"ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE {collation}"
    for table, definition in TABLES.items():
        connection.execute(text(f"CREATE TABLE IF NOT EXISTS {table} {definition} {options}"))
    for table, columns in COLUMNS.items():
        there = _columns(connection, table)
        for column in columns:
            if column.split()[0] not in there:
                connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column}")


def _columns(connection: Connection, table: str) -> set[str]:
    return {column["name"] for column in inspect(connection).get_columns(table)}
