"""The index on an event's name holds the person: so who did what when is answered from the index alone."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COLUMNS = (
    "SELECT COUNT(*) FROM INFORMATION_SCHEMA.STATISTICS WHERE TABLE_SCHEMA = DATABASE() "
    "AND TABLE_NAME = 'events' AND INDEX_NAME = 'by_name'"
)
"""None: the indexes are away (`warehouse.maintenance.indexes`), and will come back as they should be."""


def upgrade() -> None:
    connection = op.get_bind()
    if connection.exec_driver_sql(COLUMNS).scalar_one() == 2:
        connection.exec_driver_sql("ALTER TABLE events DROP KEY by_name, ADD KEY by_name (n, t, user_id)")
