"""Emptying the warehouse. The schema, the time partitions and the filters stay."""

import uuid

from sqlalchemy import Engine, text

from kmdb_dagster.warehouse.server import autocommit, transaction

EMPTIED = (
    "events",
    "properties",
    "aliases",
    "user_map",
    "pending_moves",
    "users",
    "keys",
    "rejected_lines",
    "revisions",
)


def flush(engine: Engine) -> None:
    """Empty every table but the filters.

    Waits for runs that load. From then on ids that were handed out before mean nothing: the new generation says so
    to every run and cache that still holds some.
    """
    with transaction(engine) as holding:
        holding.execute(text("UPDATE warehouse_state SET generation = :new WHERE id = 1"), {"new": uuid.uuid4().hex})
        # TRUNCATE commits by itself, so it goes over another connection while this one holds the map.
        with autocommit(engine) as connection:
            for table in EMPTIED:
                connection.exec_driver_sql(f"TRUNCATE TABLE `{table}`")
