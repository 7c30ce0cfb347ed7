"""The first schema: facts partitioned by time, interned names, the user map, the ledger, the filters.

There is no downgrade: it would lose the data.
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

LIST_OF_NAMES = "(id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name LONGTEXT NOT NULL) {options}"

FACTS = {
    # `by_name` holds the person, so a query for who did what when reads the index alone.
    "events": f"""(
        id          BIGINT       NOT NULL,
        t           DATETIME     NOT NULL,
        n           INT UNSIGNED NOT NULL,
        user_id     INT UNSIGNED NOT NULL,
        identity_id INT UNSIGNED NOT NULL,
        PRIMARY KEY (id, t),
        KEY by_name (n, t, user_id),
        KEY by_user (user_id, t)
    ) {{options}} {BY_TIME}""",
    # `by_event` holds the time, so the properties of an event are searched in one time partition. It costs no space:
    # InnoDB appends the primary key (id, t) to every index.
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
        KEY by_event (event_id, t)
    ) {{options}} {BY_TIME}""",
}

NAMES = {
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
}

IDENTITY_RESOLUTION = {
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
    "resolved_revisions": """(
        revision INT UNSIGNED NOT NULL PRIMARY KEY,
        etag     VARCHAR(255) NULL,
        t_min    DATETIME     NULL,
        t_max    DATETIME     NULL
    ) {options}""",
    "user_map": """(
        identity_id INT UNSIGNED NOT NULL PRIMARY KEY,
        user_id     INT UNSIGNED NOT NULL,
        KEY by_user (user_id)
    ) {options}""",
    "map_state": """(
        id            TINYINT         NOT NULL PRIMARY KEY,
        version       BIGINT UNSIGNED NOT NULL DEFAULT 0,
        numeric_apart TINYINT(1)      NOT NULL DEFAULT 0,
        placeholders  LONGTEXT        NULL,
        ignored       LONGTEXT        NULL
    ) {options}""",
    "placeholder_identities": LIST_OF_NAMES,
    "identity_spans": """(
        identity_id INT UNSIGNED NOT NULL PRIMARY KEY,
        first_week  INT UNSIGNED NOT NULL,
        last_week   INT UNSIGNED NOT NULL
    ) {options}""",
    "pending_moves": """(
        id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        identity_id  INT UNSIGNED    NOT NULL,
        from_user_id INT UNSIGNED    NOT NULL,
        t_min        DATETIME        NOT NULL DEFAULT '1000-01-01 00:00:00',
        t_max        DATETIME        NOT NULL DEFAULT '9999-12-31 23:59:59'
    ) {options}""",
    "pending_spans": """(
        id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        table_name VARCHAR(64)     NOT NULL,
        t_min      DATETIME        NOT NULL DEFAULT '1000-01-01 00:00:00',
        t_max      DATETIME        NOT NULL DEFAULT '9999-12-31 23:59:59'
    ) {options}""",
}

LEDGER = {
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
    "warehouse_state": """(
        id         TINYINT  NOT NULL PRIMARY KEY,
        generation CHAR(32) NOT NULL,
        facts_from DATETIME NULL
    ) {options}""",
}

FILTERS = {"ignored_users": LIST_OF_NAMES, "whitelisted_events": LIST_OF_NAMES, "blacklisted_properties": LIST_OF_NAMES}

ERASURE = {
    "forgotten_identities": """(
        digest   BINARY(32) NOT NULL PRIMARY KEY,
        asked_at DATETIME   NOT NULL DEFAULT CURRENT_TIMESTAMP,
        done_at  DATETIME   NULL
    ) {options}""",
    "searched_folders": """(
        digest    BINARY(32) NOT NULL,
        folder_id BINARY(16) NOT NULL,
        PRIMARY KEY (digest, folder_id)
    ) {options}""",
}

BINDINGS = {
    "bindings": """(
        id                INT        NOT NULL PRIMARY KEY,
        database_id       BINARY(16) NOT NULL,
        created_at        DATETIME   NOT NULL,
        folders_confirmed BOOL       NOT NULL DEFAULT FALSE,
        bucket            TEXT       NULL,
        bucket_bound_at   DATETIME   NULL
    ) {options}""",
    "data_folders": """(
        id      BINARY(16) NOT NULL PRIMARY KEY,
        host    TEXT       NOT NULL,
        path    TEXT       NOT NULL,
        used_at DATETIME   NOT NULL
    ) {options}""",
}

TABLES = {**FACTS, **NAMES, **IDENTITY_RESOLUTION, **LEDGER, **FILTERS, **ERASURE, **BINDINGS}


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
    connection.execute(text("INSERT IGNORE INTO map_state (id) VALUES (1)"))
    # Not at the first import: a server that loses the commit of the id would leave data folders with an unknown one.
    connection.execute(
        text(
            "INSERT INTO bindings (id, database_id, created_at) VALUES (1, :new, UTC_TIMESTAMP()) "
            "ON DUPLICATE KEY UPDATE id = id"
        ),
        {"new": uuid.uuid4().bytes},
    )
