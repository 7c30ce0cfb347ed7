"""The changed revisions that a bucket scan found are remembered until they are imported."""

from alembic import op
from sqlalchemy import text

from kmdb_dagster.warehouse.connection.server import server_of

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CHANGED_REVISIONS = """(
    revision INT UNSIGNED NOT NULL PRIMARY KEY,
    etag     VARCHAR(255) NULL,
    seen_at  DATETIME     NOT NULL
)"""


def upgrade() -> None:
    connection = op.get_bind()
    options = f"ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE {server_of(connection).exact_collation}"
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS changed_revisions {CHANGED_REVISIONS} {options}"))
