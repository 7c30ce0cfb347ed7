"""The day on which the facts that are kept begin."""

from alembic import op
from sqlalchemy import inspect

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    if "facts_from" not in {column["name"] for column in inspect(connection).get_columns("warehouse_state")}:
        connection.exec_driver_sql("ALTER TABLE warehouse_state ADD COLUMN facts_from DATETIME NULL")
