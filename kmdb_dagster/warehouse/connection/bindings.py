"""What a database belongs to: one bucket (``bindings``), and the data folders that hold its files (``data_folders``).

A database that was copied keeps its id, so the copy counts as the same database.
"""

import uuid
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.connection.server import transaction

LOCK = "bindings"
LOCK_TIMEOUT_SECONDS = 60

UPSERT_FOLDER = (
    "INSERT INTO data_folders (id, host, path, used_at) VALUES (:id, :host, :path, UTC_TIMESTAMP()) "
    "ON DUPLICATE KEY UPDATE host = VALUES(host), path = VALUES(path), used_at = VALUES(used_at)"
)


class KnownFolder(NamedTuple):
    """A data folder of this database, and where it was used last."""

    id: bytes
    host: str
    path: str
    used_at: datetime

    def __str__(self) -> str:
        """Return ``host:path``."""
        return f"{self.host}:{self.path}"


def database_id(engine: Engine) -> bytes:
    """Return the id of this database, which `kmdb migrate` creates. A deleted row gets a new id."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO bindings (id, database_id, created_at) VALUES (1, :new, UTC_TIMESTAMP()) "
                "ON DUPLICATE KEY UPDATE id = id"
            ),
            {"new": uuid.uuid4().bytes},
        )
        return bytes(connection.execute(text("SELECT database_id FROM bindings WHERE id = 1")).scalar_one())


def bucket_of(connection: Connection) -> str | None:
    """Return the bucket that this database belongs to, or None before the first import."""
    return connection.execute(text("SELECT bucket FROM bindings WHERE id = 1")).scalar()


def check_bucket(engine: Engine, bucket: str) -> None:
    """Refuse another bucket than the one of this database.

    Args:
        engine: the warehouse.
        bucket: the bucket's `location`.

    Raises:
        PermanentError: the database belongs to another bucket.
    """
    with transaction(engine) as connection:
        known = bucket_of(connection)
    if known is not None and known != bucket:
        raise PermanentError(
            f"Database {engine.url.database!r} belongs to the bucket {known}, not to {bucket}. Nothing was changed. "
            "Check DATABASE_URL, and AWS_BUCKET, AWS_ENDPOINT_URL or KMDB_LOCAL_BUCKET. To import from this bucket "
            "into this database from now on, run `kmdb confirm bucket`."
        )


def claim_bucket(engine: Engine, bucket: str) -> None:
    """Bind this database to a bucket, unless it is bound already.

    Raises:
        PermanentError: the database belongs to another bucket.
    """
    database_id(engine)
    with transaction(engine) as connection:
        connection.execute(
            text(
                "UPDATE bindings SET bucket = :bucket, bucket_bound_at = UTC_TIMESTAMP() "
                "WHERE id = 1 AND bucket IS NULL"
            ),
            {"bucket": bucket},
        )
    check_bucket(engine, bucket)


def confirm_bucket(engine: Engine, bucket: str) -> None:
    """Bind this database to a bucket, and replace an earlier binding."""
    release_bucket(engine)
    claim_bucket(engine, bucket)


def release_bucket(engine: Engine) -> None:
    """Unbind this database from its bucket: the next import binds it."""
    with transaction(engine) as connection:
        connection.execute(text("UPDATE bindings SET bucket = NULL, bucket_bound_at = NULL WHERE id = 1"))


def known_folders(connection: Connection) -> list[KnownFolder]:
    """Return the data folders of this database, the most recently used first."""
    return read_folders(connection, "SELECT id, host, path, used_at FROM data_folders ORDER BY used_at DESC, id")


def read_folders(connection: Connection, statement: str, **parameters: object) -> list[KnownFolder]:
    """Return the data folders that a statement selects.

    Args:
        connection: a transaction.
        statement: a SELECT of ``id, host, path, used_at``.
        **parameters: the parameters of the statement.
    """
    found = connection.execute(text(statement), parameters)
    return [KnownFolder(bytes(row.id), row.host, row.path, row.used_at) for row in found]


def add_folder(connection: Connection, folder: bytes, host: str, path: str) -> None:
    """Upsert a data folder with the place and time of its use.

    Args:
        connection: a transaction.
        folder: the id of the folder, 16 bytes.
        host: the name of the machine that uses it.
        path: its absolute path there.
    """
    connection.execute(text(UPSERT_FOLDER), {"id": folder, "host": host, "path": path})


def remove_folder(connection: Connection, folder: bytes) -> None:
    """Remove a data folder that no longer exists, so that no erasure waits for it."""
    for statement in (
        "DELETE FROM data_folders WHERE id = :id",
        "DELETE FROM searched_folders WHERE folder_id = :id",
    ):
        connection.execute(text(statement), {"id": folder})


def confirm_folders(connection: Connection) -> None:
    """Record that an operator confirmed the data folders of this database."""
    connection.execute(text("UPDATE bindings SET folders_confirmed = TRUE WHERE id = 1"))


def revisions_of_unknown_folders(connection: Connection) -> set[int]:
    """Return the imported revisions whose Parquet may be in a folder that this database does not know.

    They were imported before data folders were noted, and no person has confirmed the folders since then.
    """
    statement = (
        "SELECT r.revision FROM revisions r JOIN bindings b ON r.imported_at < b.created_at "
        "WHERE b.folders_confirmed = FALSE AND r.etag IS NOT NULL"
    )
    return set(connection.execute(text(statement)).scalars())
