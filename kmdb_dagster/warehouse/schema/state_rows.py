"""The single rows of ``warehouse_state`` and ``map_state``, whose locks guard ids and the user map."""

import uuid
from typing import TypeVar

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.connection.server import transaction

REPAIRS = {"warehouse_state": "kmdb migrate", "map_state": "kmdb realias"}
"""The command that restores a row."""

Found = TypeVar("Found")


def required(table: str, found: Found | None) -> Found:
    """Return what was read from the row of a state table.

    Raises:
        PermanentError: the row is missing.
    """
    if found is None:
        raise PermanentError(f"The table `{table}` has lost its row. Run `{REPAIRS[table]}`.")
    return found


def lost_rows(connection: Connection) -> list[str]:
    """Return the state tables without their row, in the order of their repair."""
    there = {table: connection.execute(text(f"SELECT id FROM {table} WHERE id = 1")).first() for table in REPAIRS}  # noqa: S608
    return [table for table, row in there.items() if row is None]


def restore_warehouse_state(connection: Connection) -> None:
    """Restore a lost row of ``warehouse_state`` with a new generation, so that no earlier id is used."""
    connection.execute(
        text("INSERT IGNORE INTO warehouse_state (id, generation) VALUES (1, :generation)"),
        {"generation": uuid.uuid4().hex},
    )


def restore_map_state(engine: Engine) -> None:
    """Restore a lost row of ``map_state``. The rule in force is lost with it: rebuild the map.

    The version begins with the time, so that it differs from any that a running load has read.
    """
    with transaction(engine) as connection:
        connection.execute(
            text("INSERT IGNORE INTO map_state (id, version) VALUES (1, FLOOR(UNIX_TIMESTAMP(NOW(6)) * 1000000))")
        )
