"""Who waits for whom. Two rows are locks: the numbering of ids, and the user map.

* ``warehouse_state``: whoever uses ids holds it shared to its commit; only a flush, which makes all ids void, takes it
  alone.
* ``map_state``: whoever changes the map holds it alone, from before it reads the map to its commit, and counts its
  version up. Whoever puts facts under persons reads the version first, then the persons, and takes the row shared
  only when it is about to commit: if the version is another by then, it puts right what it did.

So nobody waits for a load but a flush, and who holds ``map_state`` alone waits for nobody (docs/decisions/0007).
"""

from sqlalchemy import Connection, text

from kmdb_dagster.errors import TransientError
from kmdb_dagster.warehouse.maintenance.flush import FLUSHING
from kmdb_dagster.warehouse.schema.state_rows import required

BEING_FLUSHED = "The warehouse is being flushed. If no process does that, run `kmdb flush` to its end."


def lock_generation_shared(connection: Connection, generation: str | None = None) -> None:
    """Keep ids in force until this transaction ends: no flush can begin.

    Args:
        connection: the transaction.
        generation: that of ids from an earlier transaction; None: this one looks up all of its ids.

    Raises:
        TransientError: the warehouse is being flushed, or was flushed since ``generation``.
    """
    row = connection.execute(text("SELECT generation FROM warehouse_state WHERE id = 1 LOCK IN SHARE MODE")).scalar()
    found = required("warehouse_state", row)
    if found == FLUSHING:
        raise TransientError(BEING_FLUSHED)
    if generation not in {None, found}:
        raise TransientError("The warehouse was flushed meanwhile. The revision will be loaded anew.")


def lock_generation(connection: Connection, generation: str) -> None:
    """Wait for all who use ids, and keep others from it until this transaction ends, which should be at once.

    Raises:
        TransientError: the warehouse was flushed.
    """
    row = connection.execute(text("SELECT generation FROM warehouse_state WHERE id = 1 FOR UPDATE")).scalar()
    if required("warehouse_state", row) != generation:
        raise TransientError("The warehouse was flushed meanwhile.")


def lock_map(connection: Connection, generation: str | None = None) -> None:
    """Hold the map alone until this transaction ends, to change it.

    Raises:
        TransientError: as for `lock_generation_shared`.
    """
    lock_generation_shared(connection, generation)
    row = connection.execute(text("SELECT version FROM map_state WHERE id = 1 FOR UPDATE")).scalar()
    required("map_state", row)


def increment_map_version(connection: Connection) -> None:
    """Let everybody know, once this commits, that somebody's person is another. The map must be held alone."""
    connection.execute(text("UPDATE map_state SET version = version + 1 WHERE id = 1"))


def read_map_version(connection: Connection) -> int:
    """To be read before any person is."""
    row = connection.execute(text("SELECT version FROM map_state WHERE id = 1")).scalar()
    return int(required("map_state", row))


def lock_map_shared(connection: Connection, version: int) -> bool:
    """Keep the map as it is until this transaction ends, which should be at once.

    Returns:
        Whether it is still of this version: then every person that was read since is right.
    """
    row = connection.execute(text("SELECT version FROM map_state WHERE id = 1 LOCK IN SHARE MODE")).scalar()
    return bool(required("map_state", row) == version)
