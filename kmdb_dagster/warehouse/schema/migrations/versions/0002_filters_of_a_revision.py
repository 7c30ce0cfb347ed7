"""The ledger records with which filters a revision was loaded.

NULL for revisions from before: what they were loaded with is not known.
"""

from alembic import op
from sqlalchemy import inspect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    # MySQL commits at every DDL statement, and has no ADD COLUMN IF NOT EXISTS.
    if "filters" not in {column["name"] for column in inspect(connection).get_columns("revisions")}:
        op.execute("ALTER TABLE revisions ADD COLUMN filters BINARY(32) NULL AFTER imported_at")
