"""The folder of the copy (KMDB_COLUMNAR_URL): whose it is, and which files in it are no longer needed.

```
kmdb-folder.json                 the ids of this copy and of its database
manifest.json                    which files are the copy
facts.sql                        views for DuckDB
facts/events-….parquet           a time partition of a table
facts/user_map-….parquet         a range of ids of names or people
people/users-….parquet           a range of the identities, for this user only
```
"""

import os
import socket
import uuid
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.columnar.manifest import READABLE, SETTING, Manifest, new_time
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake
from kmdb_dagster.lake.files import translate_os_errors
from kmdb_dagster.lake.marker_file import Marker, read_marker, write_marker
from kmdb_dagster.warehouse.connection import bindings
from kmdb_dagster.warehouse.connection.data_folders import claim_folder
from kmdb_dagster.warehouse.connection.server import transaction

FACTS_FOLDER = "facts"
PEOPLE_FOLDER = "people"
FACTS_SQL = "facts.sql"
PEOPLE_SQL = f"{PEOPLE_FOLDER}/people.sql"

KEPT_FOR_READERS = timedelta(hours=1)
"""How long files of an earlier manifest stay, for queries that still read them."""

REGISTER = (
    "INSERT INTO columnar_copy (id, folder_id) VALUES (1, :folder) "
    "ON DUPLICATE KEY UPDATE folder_id = :folder, manifest_id = NULL"
)
REGISTERED = "SELECT c.folder_id, d.host, d.path FROM columnar_copy c JOIN data_folders d ON d.id = c.folder_id"


def copy_below(data_folder: Path) -> Path:
    """Return the folder of the copy where KMDB_COLUMNAR_URL does not say."""
    return data_folder / "columnar"


def claim_copy(engine: Engine, lake: Lake, folder: Path, *, move: bool) -> bytes:
    """Use a folder for the columnar copy of this database, and create what it lacks.

    The copy counts as a data folder: an erasure is complete when it was brought up to date, too.

    Args:
        engine: the warehouse.
        lake: the data folder.
        folder: the folder of the copy.
        move: make it the copy of this database, even if there is one in another folder.

    Returns:
        The id of the copy.

    Raises:
        PermanentError: the folder belongs to another database, or the copy is in another folder.
    """
    claim_folder(engine, lake)
    with translate_os_errors(folder, SETTING):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / FACTS_FOLDER).mkdir(exist_ok=True, mode=0o755)
        (folder / PEOPLE_FOLDER).mkdir(exist_ok=True, mode=0o700)
    database, marker = bindings.database_id(engine), read_marker(folder)
    if marker is not None and marker.database != database:
        raise PermanentError(
            f"The columnar copy in {folder} belongs to another database than {engine.url.database!r}. Nothing was "
            f"changed. Set {SETTING} to a folder of its own, or delete this one."
        )
    with transaction(engine) as connection:
        _require_here(connection, marker, move=move)
        if marker is None:
            # Write the marker first: a process killed after it leaves a folder that names this database.
            marker = Marker(uuid.uuid4().bytes, database)
            write_marker(folder, marker)
        bindings.add_folder(connection, marker.folder, socket.gethostname(), str(folder))
        if registered_copy(connection) != marker.folder:
            connection.execute(text(REGISTER), {"folder": marker.folder})
    return marker.folder


def registered_copy(connection: Connection) -> bytes | None:
    """Return the id of the copy of this database. None: there is none."""
    found = connection.execute(text("SELECT folder_id FROM columnar_copy WHERE id = 1")).scalar()
    return None if found is None else bytes(found)


def _require_here(connection: Connection, marker: Marker | None, *, move: bool) -> None:
    known = connection.execute(text(REGISTERED)).first()
    if known is None or move or (marker is not None and marker.folder == bytes(known.folder_id)):
        return
    raise PermanentError(
        f"The columnar copy of this database is in {known.host}:{known.path}. Nothing was changed. Set {SETTING} to "
        "that folder, or run `kmdb columnar rebuild` to make the copy here instead. Then delete the other folder, and "
        f"run `kmdb confirm data-dir --removed {bytes(known.folder_id).hex()}`."
    )


def new_file(folder: Path, table: str, start: str = "") -> tuple[str, Path]:
    """Create an empty file for a table: its path in the folder, and as a whole.

    Args:
        folder: the folder of the copy.
        table: the table. Files of `users` are readable for this user only.
        start: what the name has of the time partition, e.g. ``20140401``; empty for a whole table.
    """
    is_personal = table == "users"
    subfolder = PEOPLE_FOLDER if is_personal else FACTS_FOLDER
    name = f"{subfolder}/{table}-{f'{start}-' if start else ''}{uuid.uuid4().hex[:12]}.parquet"
    path = folder / name
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    if not is_personal:
        path.chmod(READABLE)
    return name, path


def is_intact(folder: Path, path: str, size: int) -> bool:
    """Return whether a file is there with this size, and may be read.

    Args:
        folder: the folder of the copy.
        path: the path of the file in it.
        size: the bytes that the manifest says.
    """
    try:
        return (folder / path).stat().st_size == size
    except OSError:
        return False


def remove_old_files(folder: Path, manifest: Manifest, *, at_once: bool = False) -> int:
    """Remove the files that no manifest uses: leftovers of killed processes, and retired ones after a while.

    Args:
        folder: the folder of the copy.
        manifest: the published manifest.
        at_once: also remove files that were retired a moment ago.

    Returns:
        The number of files removed.
    """
    oldest = new_time() - KEPT_FOR_READERS
    kept = {file.path for file in manifest.files if file.path}
    if not at_once:
        kept |= {path for path, at in manifest.retired.items() if at > oldest}
    removed = 0
    for path in data_files(folder):
        if str(path.relative_to(folder)) not in kept:
            with translate_os_errors(path, SETTING):
                path.unlink(missing_ok=True)
            removed += 1
    return removed


def data_files(folder: Path) -> list[Path]:
    """Return all Parquet files of the folder, and temporary ones."""
    subfolders = (folder / name for name in (FACTS_FOLDER, PEOPLE_FOLDER))
    temporary = [path for place in (folder, folder / PEOPLE_FOLDER) for path in place.glob(".*.*") if path.is_file()]
    return sorted([*(path for place in subfolders for path in place.glob("*.parquet")), *temporary])
