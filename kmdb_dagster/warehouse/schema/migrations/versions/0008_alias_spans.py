"""The span of time in which the alias lines of each revision are, so that looking them up does not look through all."""

from alembic import op
from sqlalchemy import text

from kmdb_dagster.warehouse.connection.server import server_of
from kmdb_dagster.warehouse.schema.tables import LINE_BITS, ORDINAL_BITS

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLE = (
    "CREATE TABLE IF NOT EXISTS alias_spans (revision INT UNSIGNED NOT NULL PRIMARY KEY, "
    "t_min DATETIME NOT NULL, t_max DATETIME NOT NULL)"
)
FILL = (
    f"INSERT IGNORE INTO alias_spans SELECT id >> {LINE_BITS + ORDINAL_BITS}, MIN(t), MAX(t) "  # noqa: S608 - ours
    "FROM aliases GROUP BY 1"
)


def upgrade() -> None:
    connection = op.get_bind()
    collation = server_of(connection).exact_collation
    options = f"ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE {collation}"
    connection.execute(text(f"{TABLE} {options}"))
    connection.execute(text(FILL))
