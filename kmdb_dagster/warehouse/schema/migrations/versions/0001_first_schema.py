"""The first schema: facts partitioned by time, names stored once, the user map, the ledger, the filters.

There is no downgrade: a warehouse holds data that would be lost by one.
"""

import uuid

from alembic import op
from sqlalchemy import text

from kmdb_dagster.warehouse.connection.server import server_of

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BY_TIME = "PARTITION BY RANGE COLUMNS (t) (PARTITION future VALUES LESS THAN (MAXVALUE))"

TABLES = {
    "events": f"""(
        id          BIGINT       NOT NULL,
        t           DATETIME     NOT NULL,
        n           INT UNSIGNED NOT NULL,
        user_id     INT UNSIGNED NOT NULL,
        identity_id INT UNSIGNED NOT NULL,
        PRIMARY KEY (id, t),
        KEY by_name (n, t),
        KEY by_user (user_id, t)
    ) {{options}} {BY_TIME}""",
    "properties": f"""(
        id          BIGINT       NOT NULL,
        t           DATETIME     NOT NULL,
        `key`       INT UNSIGNED NOT NULL,
        value       LONGTEXT     NULL,
        user_id     INT UNSIGNED NOT NULL,
        event_id    BIGINT       NULL,
        identity_id INT UNSIGNED NOT NULL,
        PRIMARY KEY (id, t),
        KEY by_key (`key`, t),
        KEY by_user (user_id, `key`, t),
        KEY by_event (event_id)
    ) {{options}} {BY_TIME}""",
    "aliases": f"""(
        id           BIGINT       NOT NULL,
        t            DATETIME     NOT NULL,
        name1        LONGTEXT     NOT NULL,
        name2        LONGTEXT     NOT NULL,
        identity1_id INT UNSIGNED NOT NULL,
        identity2_id INT UNSIGNED NOT NULL,
        PRIMARY KEY (id, t),
        KEY by_identity1 (identity1_id),
        KEY by_identity2 (identity2_id)
    ) {{options}} {BY_TIME}""",
    "`keys`": """(
        id     INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        string LONGTEXT     NOT NULL,
        digest BINARY(32)   NOT NULL,
        UNIQUE KEY by_digest (digest),
        KEY by_string (string(64))
    ) {options}""",
    "users": """(
        id     INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        name   LONGTEXT     NOT NULL,
        digest BINARY(32)   NOT NULL,
        UNIQUE KEY by_digest (digest),
        KEY by_name (name(64))
    ) {options}""",
    "user_map": """(
        identity_id INT UNSIGNED NOT NULL PRIMARY KEY,
        user_id     INT UNSIGNED NOT NULL,
        KEY by_user (user_id)
    ) {options}""",
    "pending_moves": """(
        identity_id  INT UNSIGNED NOT NULL,
        from_user_id INT UNSIGNED NOT NULL,
        PRIMARY KEY (identity_id, from_user_id)
    ) {options}""",
    "revisions": """(
        revision      INT UNSIGNED NOT NULL PRIMARY KEY,
        etag          VARCHAR(255) NULL,
        bytes         BIGINT       NOT NULL DEFAULT 0,
        `lines`       INT UNSIGNED NOT NULL DEFAULT 0,
        imported      INT UNSIGNED NOT NULL DEFAULT 0,
        ignored       INT UNSIGNED NOT NULL DEFAULT 0,
        blank         INT UNSIGNED NOT NULL DEFAULT 0,
        rejected      INT UNSIGNED NOT NULL DEFAULT 0,
        events        INT UNSIGNED NOT NULL DEFAULT 0,
        property_sets INT UNSIGNED NOT NULL DEFAULT 0,
        properties    INT UNSIGNED NOT NULL DEFAULT 0,
        aliases       INT UNSIGNED NOT NULL DEFAULT 0,
        t_min         DATETIME     NULL,
        t_max         DATETIME     NULL,
        imported_at   DATETIME     NULL,
        error         TEXT         NULL,
        failed_at     DATETIME     NULL
    ) {options}""",
    "rejected_lines": """(
        revision INT UNSIGNED NOT NULL,
        line     INT UNSIGNED NOT NULL,
        reason   VARCHAR(64)  NOT NULL,
        raw      LONGBLOB     NOT NULL,
        PRIMARY KEY (revision, line)
    ) {options}""",
    "ignored_users": "(id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name LONGTEXT NOT NULL) {options}",
    "whitelisted_events": "(id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name LONGTEXT NOT NULL) {options}",
    "blacklisted_properties": "(id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name LONGTEXT NOT NULL) {options}",
    "warehouse_state": "(id TINYINT NOT NULL PRIMARY KEY, generation CHAR(32) NOT NULL) {options}",
}


def upgrade() -> None:
    connection = op.get_bind()
    collation = server_of(connection).exact_collation
    options = f"ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE {collation}"
    for name, definition in TABLES.items():
        connection.execute(text(f"CREATE TABLE IF NOT EXISTS {name} {definition.format(options=options)}"))
    connection.execute(
        text("INSERT IGNORE INTO warehouse_state (id, generation) VALUES (1, :generation)"),
        {"generation": uuid.uuid4().hex},
    )
