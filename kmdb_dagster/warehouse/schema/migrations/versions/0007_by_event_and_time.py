"""The index on an event's properties has their time: so they are looked for in one time partition, not in all.

It is as large as before, since InnoDB has the primary key (id, t) in every index.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COLUMNS = (
    "SELECT COUNT(*) FROM INFORMATION_SCHEMA.STATISTICS WHERE TABLE_SCHEMA = DATABASE() "
    "AND TABLE_NAME = 'properties' AND INDEX_NAME = 'by_event'"
)


def upgrade() -> None:
    connection = op.get_bind()
    if connection.exec_driver_sql(COLUMNS).scalar_one() == 1:
        connection.exec_driver_sql("ALTER TABLE properties DROP KEY by_event, ADD KEY by_event (event_id, t)")
