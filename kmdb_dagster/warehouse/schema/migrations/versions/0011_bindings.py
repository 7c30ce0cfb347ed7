"""What a database belongs to: one bucket, and the data folders that hold its files."""

import uuid

from alembic import op
from sqlalchemy import text

from kmdb_dagster.warehouse.connection.server import server_of

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = (
    (
        "CREATE TABLE IF NOT EXISTS bindings (id INT NOT NULL PRIMARY KEY, database_id BINARY(16) NOT NULL, "
        "created_at DATETIME NOT NULL, folders_confirmed BOOL NOT NULL DEFAULT FALSE, bucket TEXT NULL, "
        "bucket_bound_at DATETIME NULL)"
    ),
    (
        "CREATE TABLE IF NOT EXISTS data_folders (id BINARY(16) NOT NULL PRIMARY KEY, host TEXT NOT NULL, "
        "path TEXT NOT NULL, used_at DATETIME NOT NULL)"
    ),
    (
        "CREATE TABLE IF NOT EXISTS searched_folders (digest BINARY(32) NOT NULL, folder_id BINARY(16) NOT NULL, "
        "PRIMARY KEY (digest, folder_id))"
    ),
)
ROW = (
    "INSERT INTO bindings (id, database_id, created_at) VALUES (1, :new, UTC_TIMESTAMP()) "
    "ON DUPLICATE KEY UPDATE id = id"
)


def upgrade() -> None:
    connection = op.get_bind()
    collation = server_of(connection).exact_collation
    options = f"ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE {collation}"
    for table in TABLES:
        connection.execute(text(f"{table} {options}"))
    # Here and not at the first import: a server that loses the commit of an id leaves data folders of an unknown one.
    connection.execute(text(ROW), {"new": uuid.uuid4().bytes})
