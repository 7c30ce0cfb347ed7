"""The span of time in which the facts of each identity are, so that moving them does not look through all time."""

from alembic import op
from sqlalchemy import text

from kmdb_dagster.warehouse.connection.server import server_of

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE = (
    "CREATE TABLE IF NOT EXISTS identity_spans (identity_id INT UNSIGNED NOT NULL PRIMARY KEY, "
    "first_week INT UNSIGNED NOT NULL, last_week INT UNSIGNED NOT NULL)"
)
WEEK = "TIMESTAMPDIFF(SECOND, '1970-01-01', t) DIV 604800"
FILL = (
    "INSERT IGNORE INTO identity_spans SELECT identity_id, MIN(week), MAX(week) FROM ("  # noqa: S608 - ours
    f"SELECT identity_id, {WEEK} AS week FROM events UNION ALL SELECT identity_id, {WEEK} FROM properties"
    ") facts GROUP BY identity_id"
)


def upgrade() -> None:
    connection = op.get_bind()
    collation = server_of(connection).exact_collation
    options = f"ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE {collation}"
    connection.execute(text(f"{TABLE} {options}"))
    connection.execute(text(FILL))
