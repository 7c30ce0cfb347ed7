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
    # In this order, and before the map: who looks through a span writes moves, and who moves finds them in the map.
    "pending_spans",
    "pending_moves",
    # Before users: who interns meanwhile may leave a row here without an identity, never an identity without its row.
    "user_map",
    "users",
    "identity_spans",
    "keys",
    "rejected_lines",
    "revisions",
)
FLUSHING = ""
"""The generation while tables are emptied. No run has it, and none starts with it."""

LOCK_TIMEOUT_SECONDS = 60


def flush(engine: Engine) -> None:
    """Empty every table but the filters, and what says who was forgotten.

    Waits for runs that load. From then on ids that were handed out before mean nothing: the new generation says so
    to every run and cache that still holds some. One that breaks off leaves the warehouse closed until it is flushed
    again: what is half empty is nothing to load into.
    """
    with named_lock(engine, "flush", LOCK_TIMEOUT_SECONDS) as connection:
        # Who lacks the right to TRUNCATE is told so here, before the warehouse is closed.
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
