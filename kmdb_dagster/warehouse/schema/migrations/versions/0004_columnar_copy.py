"""The days whose facts changed are recorded, so that a columnar copy of the facts is brought up to date."""

from alembic import op
from sqlalchemy import text

from kmdb_dagster.warehouse.connection.server import server_of

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CHANGED_DAYS = """(
    id  BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    day DATE            NULL
)"""
COLUMNAR_COPY = """(
    id          TINYINT UNSIGNED NOT NULL PRIMARY KEY,
    folder_id   BINARY(16)       NOT NULL,
    manifest_id BINARY(16)       NULL
)"""


def upgrade() -> None:
    connection = op.get_bind()
    options = f"ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE {server_of(connection).exact_collation}"
    for table, columns in (("changed_days", CHANGED_DAYS), ("columnar_copy", COLUMNAR_COPY)):
        connection.execute(text(f"CREATE TABLE IF NOT EXISTS {table} {columns} {options}"))
