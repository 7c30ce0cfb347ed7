"""Identities that got another person are recorded, so that a columnar copy does not read the whole user map again."""

from alembic import op
from sqlalchemy import inspect

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    if "identity_id" not in {column["name"] for column in inspect(connection).get_columns("changed_days")}:
        connection.exec_driver_sql("ALTER TABLE changed_days ADD COLUMN identity_id INT UNSIGNED NULL")
