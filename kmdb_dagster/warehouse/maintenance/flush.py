"""Emptying the warehouse. The schema, the time partitions and the filters stay."""

import uuid

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.warehouse.connection.bindings import release_bucket
from kmdb_dagster.warehouse.connection.server import named_lock

EMPTIED = (
    "events",
    "properties",
    "aliases",
    "resolved_revisions",
    # Order: a search of a span records moves, and a move reads the map.
    "pending_spans",
    "pending_moves",
    # Before users: concurrent interning may leave a row here without an identity, never the reverse.
    "user_map",
    "users",
    "identity_spans",
    "keys",
    "rejected_lines",
    "changed_revisions",
    "changed_days",
    "revisions",
)
FLUSHING = ""
"""The generation while tables are emptied. No run has it, and none starts with it."""

LOCK_TIMEOUT_SECONDS = 60


def flush(engine: Engine) -> None:
    """Empty all tables of imported data. The filters and the erasure list stay.

    Waits for running loads. The new generation makes all earlier ids invalid, also in runs that still hold some. An
    interrupted flush leaves the warehouse closed: run it again.
    """
    with named_lock(engine, "flush", LOCK_TIMEOUT_SECONDS) as connection:
        # TRUNCATE needs the DROP privilege: fail here if it is missing, before the warehouse is closed.
        connection.exec_driver_sql("DROP TABLE IF EXISTS kmdb_may_i_drop")
        _set_generation(connection, FLUSHING)
        for table in EMPTIED:
            connection.exec_driver_sql(f"TRUNCATE TABLE `{table}`")
        # An empty database belongs to no bucket. Its data folders still hold Parquet.
        release_bucket(engine)
        _set_generation(connection, uuid.uuid4().hex)


def _set_generation(connection: Connection, generation: str) -> None:
    # Not UPDATE: without its row the warehouse would stay open while it is emptied.
    connection.execute(
        text("INSERT INTO warehouse_state (id, generation) VALUES (1, :new) ON DUPLICATE KEY UPDATE generation = :new"),
        {"new": generation},
    )
