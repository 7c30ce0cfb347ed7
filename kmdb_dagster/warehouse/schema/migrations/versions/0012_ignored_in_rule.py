"""The rule in force names the ignored identities, whose aliases tie nothing."""

from alembic import op
from sqlalchemy import inspect

revision = "0012"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    if "ignored" not in {column["name"] for column in inspect(connection).get_columns("map_state")}:
        connection.exec_driver_sql("ALTER TABLE map_state ADD COLUMN ignored LONGTEXT NULL")
