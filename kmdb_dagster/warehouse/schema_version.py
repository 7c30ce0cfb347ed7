"""Whether the schema of a database is the one that this program knows. Looked at on each new connection.

Without Alembic, which takes longer to import than to ask.
"""

from functools import cache
from importlib.resources import files

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from kmdb_dagster.errors import PermanentError

VERSION_DIGITS = 4


@cache
def known_versions() -> tuple[str, ...]:
    """Every version that this program can migrate from or to, ascending. Each is a migration file's first digits."""
    names = (file.name for file in (files("kmdb_dagster.warehouse.migrations") / "versions").iterdir())
    return tuple(sorted({name[:VERSION_DIGITS] for name in names if name[:VERSION_DIGITS].isdigit()}))


def require_known(database: str | None, version: str | None) -> None:
    """Refuse a schema that a newer program has made.

    Raises:
        PermanentError: this program does not know the version.
    """
    if version is not None and version not in known_versions():
        raise PermanentError(
            f"Database {database!r} has schema version {version}; this kmdb_dagster knows up to "
            f"{known_versions()[-1]}. A newer release has migrated it. Upgrade this installation to that release: see "
            "Upgrading in docs/operations.md."
        )


def require_current(database: str | None, version: str | None) -> None:
    """Refuse a schema of another version than this program's.

    Raises:
        PermanentError: the schema is newer, or has still to be migrated.
    """
    require_known(database, version)
    if version != known_versions()[-1]:
        raise PermanentError(
            f"Database {database!r} has schema version {version or 'none'}; this kmdb_dagster needs "
            f"{known_versions()[-1]}: run `kmdb migrate`."
        )


def check_connections(engine: Engine) -> None:
    """Let every new connection look at the schema's version before it is used."""

    def look(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute("SELECT version_num FROM alembic_version")
            found = cursor.fetchone()
        finally:
            cursor.close()
        # The connection is handed out without an open transaction.
        connection.rollback()
        require_current(engine.url.database, found[0] if found else None)

    event.listen(engine, "connect", look)
