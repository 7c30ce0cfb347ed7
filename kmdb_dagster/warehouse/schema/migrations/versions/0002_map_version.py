"""The user map has a version and a lock of its own, and moves that wait are numbered.

So a load no longer holds the map while it lasts, and who changes the map never waits for who moves facts.
"""

from alembic import op
from sqlalchemy import Connection, inspect, text

from kmdb_dagster.warehouse.connection.server import server_of

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    collation = server_of(connection).exact_collation
    options = f"ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE {collation}"
    connection.execute(
        text(
            "CREATE TABLE IF NOT EXISTS map_state "
            f"(id TINYINT NOT NULL PRIMARY KEY, version BIGINT UNSIGNED NOT NULL DEFAULT 0) {options}"
        )
    )
    connection.execute(text("INSERT IGNORE INTO map_state (id) VALUES (1)"))
    if not _numbered(connection):
        connection.execute(
            text(
                "ALTER TABLE pending_moves DROP PRIMARY KEY, "
                "ADD COLUMN id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY FIRST"
            )
        )


def _numbered(connection: Connection) -> bool:
    return any(column["name"] == "id" for column in inspect(connection).get_columns("pending_moves"))
