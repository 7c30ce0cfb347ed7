"""The identities of forgotten people, by digest."""

from alembic import op
from sqlalchemy import text

from kmdb_dagster.warehouse.connection.server import server_of

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLE = (
    "CREATE TABLE IF NOT EXISTS forgotten_identities (digest BINARY(32) NOT NULL PRIMARY KEY, "
    "asked_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, done_at DATETIME NULL)"
)


def upgrade() -> None:
    connection = op.get_bind()
    collation = server_of(connection).exact_collation
    options = f"ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE {collation}"
    connection.execute(text(f"{TABLE} {options}"))
