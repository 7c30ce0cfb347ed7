"""What each revision was resolved from: ``alias_spans`` becomes a row for each resolved revision, with its ETag.

Revisions that were resolved before have no ETag. A load of such a revision resolves it again first.
"""

from alembic import op
from sqlalchemy import inspect, text

from kmdb_dagster.warehouse.connection.server import server_of

revision = "0010"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLE = (
    "CREATE TABLE IF NOT EXISTS resolved_revisions (revision INT UNSIGNED NOT NULL PRIMARY KEY, "
    "etag VARCHAR(255) NULL, t_min DATETIME NULL, t_max DATETIME NULL)"
)
COPY = "INSERT IGNORE INTO resolved_revisions (revision, t_min, t_max) SELECT revision, t_min, t_max FROM alias_spans"


def upgrade() -> None:
    connection = op.get_bind()
    collation = server_of(connection).exact_collation
    options = f"ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE {collation}"
    connection.execute(text(f"{TABLE} {options}"))
    # Not there: the migration was interrupted after the last statement.
    if inspect(connection).has_table("alias_spans"):
        connection.execute(text(COPY))
        connection.execute(text("DROP TABLE alias_spans"))
