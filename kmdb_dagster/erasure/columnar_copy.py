"""Erase people from the columnar copy: bring it up to date after the tables, and remove the replaced files at once."""

from pathlib import Path

from sqlalchemy import Engine, text

from kmdb_dagster.columnar.folder import data_files, registered_copy
from kmdb_dagster.columnar.manifest import MANIFEST, SETTING
from kmdb_dagster.columnar.refresh import refresh
from kmdb_dagster.erasure.requests import record_searched
from kmdb_dagster.lake import Lake
from kmdb_dagster.lake.files import translate_os_errors
from kmdb_dagster.lake.marker_file import read_marker
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.warehouse.connection.bindings import database_id
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.identity.erasure_list import count_pending_erasures
from kmdb_dagster.warehouse.identity.user_map import Progress

SEARCHED = "SELECT digest FROM searched_folders WHERE folder_id = :folder"


def erase_from_copy(engine: Engine, lake: Lake, folder: Path, searched: bytes, report: Progress) -> int:
    """Erase the people of all pending requests from the columnar copy in a folder, and record that.

    Args:
        engine: the warehouse, without these people.
        lake: the data folder.
        folder: the folder of the copy, which may not exist.
        searched: the id of the data folder that was searched.
        report: called with what is being done, how much is done, and of how much.

    Returns:
        The number of files removed.
    """
    marker = read_marker(folder)
    if marker is None or marker.database != database_id(engine):
        return 0
    with transaction(engine) as connection:
        if not count_pending_erasures(connection):
            return 0
        # Read before the refresh: only these people are known to be out of the tables.
        digests = set(map(bytes, connection.execute(text(SEARCHED), {"folder": searched}).scalars()))
        is_registered = registered_copy(connection) == marker.folder
    if is_registered:
        removed = retry_transient(refresh)(engine, lake, folder, keep_old=False, report=report).files_removed
    else:
        removed = _delete_copy(folder)
    record_searched(engine, digests, marker.folder)
    return removed


def _delete_copy(folder: Path) -> int:
    """Delete a copy that another one has replaced."""
    files = data_files(folder)
    with translate_os_errors(folder, SETTING):
        for path in (*files, folder / MANIFEST):
            path.unlink(missing_ok=True)
    return len(files)
