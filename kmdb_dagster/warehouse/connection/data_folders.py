"""Bind data folders to their database. A folder belongs to one database, which knows all of its folders.

So no import mixes the files of two databases, and an erasure knows where the Parquet of a database is.
"""

import socket
import uuid

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake
from kmdb_dagster.lake.marker_file import Marker, read_marker, write_marker
from kmdb_dagster.warehouse.connection import bindings
from kmdb_dagster.warehouse.connection.bindings import KnownFolder
from kmdb_dagster.warehouse.connection.server import named_lock, transaction

MAX_FOLDERS_NAMED = 5

SEARCH_AGAIN = (
    # Reopen complete erasures for this folder only: the other folders count as searched.
    (
        "INSERT IGNORE INTO searched_folders (digest, folder_id) SELECT f.digest, d.id FROM forgotten_identities f "
        "CROSS JOIN data_folders d WHERE f.done_at IS NOT NULL AND d.id <> :folder"
    ),
    "UPDATE forgotten_identities SET done_at = NULL",
)


def claim_folder(engine: Engine, lake: Lake) -> bytes:
    """Use a data folder for this database. The first one is bound to it.

    Returns:
        The folder's id.

    Raises:
        PermanentError: the folder belongs to another database, or the database has its files elsewhere.
    """
    lake.prepare()
    with named_lock(engine, bindings.LOCK, bindings.LOCK_TIMEOUT_SECONDS):
        database, marker = bindings.database_id(engine), read_marker(lake.root)
        with transaction(engine) as connection:
            if marker is None:
                _require_no_other(connection, lake)
                marker = _new_marker(lake, database)
            elif marker.database != database:
                raise _of_another_database(engine, lake)
            _add(connection, lake, marker)
    return marker.folder


def confirm_folder(engine: Engine, lake: Lake) -> list[KnownFolder]:
    """Use a data folder for this database, even if it belonged to another one.

    Returns:
        All data folders of this database.
    """
    lake.prepare()
    with named_lock(engine, bindings.LOCK, bindings.LOCK_TIMEOUT_SECONDS):
        database, marker = bindings.database_id(engine), read_marker(lake.root)
        with transaction(engine) as connection:
            known = {folder.id for folder in bindings.known_folders(connection)}
            if marker is None or marker.database != database:
                marker = _new_marker(lake, database)
            _add(connection, lake, marker)
            if marker.folder not in known and not lake.is_empty():
                for statement in SEARCH_AGAIN:
                    connection.execute(text(statement), {"folder": marker.folder} if ":folder" in statement else {})
            bindings.confirm_folders(connection)
            return bindings.known_folders(connection)


def remove_folder(engine: Engine, folder: bytes) -> list[KnownFolder]:
    """Remove a data folder that no longer exists, so that no erasure waits for it.

    Returns:
        The data folders that are left.

    Raises:
        PermanentError: the database has no such data folder.
    """
    with transaction(engine) as connection:
        known = bindings.known_folders(connection)
        if folder not in {item.id for item in known}:
            ids = ", ".join(f"{item.id.hex()} ({item})" for item in known) or "none"
            raise PermanentError(f"Database {engine.url.database!r} has no data folder {folder.hex()}. It has: {ids}.")
        bindings.remove_folder(connection, folder)
        return bindings.known_folders(connection)


def _new_marker(lake: Lake, database: bytes) -> Marker:
    # Write the marker first: a process killed after it leaves a folder that names this database.
    marker = Marker(uuid.uuid4().bytes, database)
    write_marker(lake.root, marker)
    return marker


def _add(connection: Connection, lake: Lake, marker: Marker) -> None:
    bindings.add_folder(connection, marker.folder, socket.gethostname(), str(lake.root))


def _require_no_other(connection: Connection, lake: Lake) -> None:
    """Refuse a folder without a marker, if the files of this database are elsewhere."""
    database = connection.engine.url.database
    known = bindings.known_folders(connection)
    if known:
        raise PermanentError(
            f"Data folder {lake.root} is new to database {database!r}. Nothing was changed. The database has its files "
            f"in {places(known)}: set KMDB_DATA_DIR to that folder, or mount it. To use this folder as well, run "
            "`kmdb confirm data-dir` on this machine."
        )


def places(folders: list[KnownFolder]) -> str:
    """Render where data folders are, for a message."""
    more = ", …" if len(folders) > MAX_FOLDERS_NAMED else ""
    return ", ".join(map(str, folders[:MAX_FOLDERS_NAMED])) + more


def _of_another_database(engine: Engine, lake: Lake) -> PermanentError:
    return PermanentError(
        f"Data folder {lake.root} belongs to another database than {engine.url.database!r}. Nothing was changed. Check "
        "DATABASE_URL, or set KMDB_DATA_DIR to a folder of its own. If the database was made again, and the folder is "
        "for it, run `kmdb confirm data-dir`."
    )
