"""Row locks on the generation of ids and on the user map.

* ``warehouse_state``: a transaction that uses ids holds a shared lock until commit. A flush, which makes all ids
  invalid, takes an exclusive lock.
* ``map_state``: a transaction that changes the map holds an exclusive lock, from before it reads the map until commit,
  and increments the version. A transaction that writes person ids reads the version, then the persons. It takes a
  shared lock right before its commit, and records moves of its facts if the version has changed.

So only a flush waits for loads, and the holder of the exclusive lock on ``map_state`` never waits for another lock
(docs/decisions/0007).
"""

from sqlalchemy import Connection, text

from kmdb_dagster.errors import TransientError
from kmdb_dagster.warehouse.maintenance.flush import FLUSHING
from kmdb_dagster.warehouse.schema.state_rows import required

BEING_FLUSHED = "The warehouse is being flushed. If no process does that, run `kmdb flush` to its end."


def lock_generation_shared(connection: Connection, generation: str | None = None) -> None:
    """Lock the generation of ids (shared) until commit: no flush can begin.

    Args:
        connection: the transaction.
        generation: the generation of ids that an earlier transaction read; None: this one reads all of its ids.

    Raises:
        TransientError: the warehouse is being flushed, or was flushed since ``generation``.
    """
    row = connection.execute(text("SELECT generation FROM warehouse_state WHERE id = 1 LOCK IN SHARE MODE")).scalar()
    found = required("warehouse_state", row)
    if found == FLUSHING:
        raise TransientError(BEING_FLUSHED)
    if generation not in {None, found}:
        raise TransientError("The warehouse was flushed meanwhile. The next attempt reads new ids.")


def lock_generation(connection: Connection, generation: str) -> None:
    """Lock the generation of ids (exclusive) until commit. Commit soon: all loads wait.

    Raises:
        TransientError: the warehouse was flushed.
    """
    row = connection.execute(text("SELECT generation FROM warehouse_state WHERE id = 1 FOR UPDATE")).scalar()
    if required("warehouse_state", row) != generation:
        raise TransientError("The warehouse was flushed meanwhile.")


def lock_map(connection: Connection, generation: str | None = None) -> None:
    """Lock the map (exclusive) until commit, to change it.

    Raises:
        TransientError: as for `lock_generation_shared`.
    """
    lock_generation_shared(connection, generation)
    row = connection.execute(text("SELECT version FROM map_state WHERE id = 1 FOR UPDATE")).scalar()
    required("map_state", row)


def increment_map_version(connection: Connection) -> None:
    """Increment the version, because the person of an identity changes. Requires `lock_map`."""
    connection.execute(text("UPDATE map_state SET version = version + 1 WHERE id = 1"))


def read_map_version(connection: Connection) -> int:
    """Read the version of the map. Read it before any person."""
    row = connection.execute(text("SELECT version FROM map_state WHERE id = 1")).scalar()
    return int(required("map_state", row))


def lock_map_shared(connection: Connection, version: int) -> bool:
    """Lock the map (shared) until commit. Commit soon: changes of the map wait.

    Returns:
        Whether the map still has this version. If so, all persons that were read since are current.
    """
    row = connection.execute(text("SELECT version FROM map_state WHERE id = 1 LOCK IN SHARE MODE")).scalar()
    return bool(required("map_state", row) == version)
