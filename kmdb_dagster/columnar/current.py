"""Choose where facts are read: the copy if it is current, or soon is, and the tables otherwise."""

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from sqlalchemy import Engine, text

from kmdb_dagster.columnar.manifest import Manifest, read_manifest
from kmdb_dagster.columnar.reader import CopyReader
from kmdb_dagster.columnar.refresh import refresh
from kmdb_dagster.columnar.status import CopyStatus, read_status
from kmdb_dagster.errors import KmdbError, PermanentError
from kmdb_dagster.lake import Lake
from kmdb_dagster.settings import Settings
from kmdb_dagster.warehouse.connection.server import transaction

MAX_ROWS_REFRESHED = 1_000_000
"""Rows that a refresh may write before an answer: some seconds."""
LOCK_TIMEOUT_SECONDS = 5
NEWEST_REVISION = "SELECT MAX(revision) FROM revisions WHERE imported_at IS NOT NULL AND etag IS NOT NULL"


class ReadFrom(StrEnum):
    """Where the user wants facts to be read."""

    AUTO = "auto"
    """The copy if it is current, or soon is; else the tables."""
    TABLES = "tables"
    COLUMNAR = "columnar"
    """The copy. It is brought up to date first, however long that takes."""


class Place(NamedTuple):
    """Where facts are read."""

    copy: CopyReader | None
    """None: the tables."""
    newest_revision: int | None
    """The answer is as of this revision. None: nothing is imported."""
    reason: str = ""
    """Why the tables are read although there is a copy."""

    def __str__(self) -> str:
        """Say it in a sentence."""
        name = "the columnar copy" if self.copy else "the tables"
        revision = "" if self.newest_revision is None else f", as of revision {self.newest_revision}"
        return f"Read from {name}{revision}{f': {self.reason}' if self.reason else ''}."


def choose_place(engine: Engine, lake: Lake, folder: Path, wanted: ReadFrom = ReadFrom.AUTO) -> Place:
    """Return where to read facts, and bring the copy up to date first if that is wanted or takes seconds.

    Args:
        engine: The warehouse.
        lake: The data folder.
        folder: The folder of the copy.
        wanted: What the user chose.

    Raises:
        PermanentError: The user wants the copy, and it cannot be made.
        TransientError: The user wants the copy, and another process refreshes it for too long.
    """
    if wanted is ReadFrom.TABLES:
        return read_tables(engine)
    if wanted is ReadFrom.COLUMNAR:
        return _copy(folder, refresh(engine, lake, folder).manifest)
    if read_manifest(folder) is None:
        return read_tables(engine)
    try:
        status = read_status(engine, folder)
    except PermanentError as error:
        return read_tables(engine, f"the state of the columnar copy cannot be read ({error})")
    return _if_current(engine, lake, folder, status)


def place_by_settings(engine: Engine, settings: Settings, wanted: ReadFrom = ReadFrom.AUTO) -> Place:
    """Return where to read facts, as `choose_place`. With KMDB_COLUMNAR=no, only a user who wants the copy gets it.

    Args:
        engine: the warehouse.
        settings: KMDB_COLUMNAR and the folders are used.
        wanted: what the user asked for.
    """
    if wanted is ReadFrom.AUTO and not settings.columnar:
        wanted = ReadFrom.TABLES
    return choose_place(engine, Lake(settings.data_folder), settings.columnar_folder, wanted)


def read_tables(engine: Engine, reason: str = "") -> Place:
    """Return the tables as the place to read facts."""
    with transaction(engine) as connection:
        return Place(None, connection.execute(text(NEWEST_REVISION)).scalar(), reason)


def _if_current(engine: Engine, lake: Lake, folder: Path, status: CopyStatus) -> Place:
    if status.manifest is None:
        return read_tables(engine)
    return _copy(folder, status.manifest) if status.is_current else _refreshed(engine, lake, folder, status)


def _refreshed(engine: Engine, lake: Lake, folder: Path, status: CopyStatus) -> Place:
    if status.rows_behind is None or status.rows_behind > MAX_ROWS_REFRESHED:
        return read_tables(engine, f"the columnar copy is not current, run {status.next_step}")
    try:
        done = refresh(engine, lake, folder, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS)
    except (KmdbError, OSError, pa.ArrowException):
        return read_tables(engine, f"the columnar copy could not be brought up to date, run {status.next_step}")
    return _copy(folder, done.manifest)


def _copy(folder: Path, manifest: Manifest) -> Place:
    return Place(CopyReader(folder, manifest), manifest.state.newest_revision)
