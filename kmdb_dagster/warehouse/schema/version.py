"""The version of the schema, compared with the one that this program needs on each new connection.

Without Alembic, which takes longer to import than to ask.
"""

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from kmdb_dagster.errors import PermanentError

REVISION = re.compile(r'^revision = "(\w+)"$', re.MULTILINE)
DOWN_REVISION = re.compile(r'^down_revision = "(\w+)"$', re.MULTILINE)


class Versions(NamedTuple):
    """The versions of the schema that this program can migrate, and the one that it needs."""

    known: frozenset[str]
    current: str


@cache
def versions() -> Versions:
    """Read the versions from the migration files."""
    folder = files("kmdb_dagster.warehouse.schema.migrations") / "versions"
    sources = [file.read_text() for file in folder.iterdir() if file.name.endswith(".py")]
    known = {found[1] for source in sources if (found := REVISION.search(source))}
    before = {found[1] for source in sources if (found := DOWN_REVISION.search(source))}
    (current,) = known - before
    return Versions(frozenset(known), current)


def require_known(database: str | None, version: str | None) -> None:
    """Refuse a schema of a newer program.

    Raises:
        PermanentError: this program does not know the version.
    """
    if version is not None and version not in versions().known:
        raise PermanentError(
            f"Database {database!r} has schema version {version}; this kmdb_dagster knows up to "
            f"{versions().current}. A newer release has migrated it. Upgrade this installation to that release: see "
            "docs/how-to/upgrade.md."
        )


def require_current(database: str | None, version: str | None) -> None:
    """Refuse a schema of another version than this program's.

    Raises:
        PermanentError: the schema is newer, or has still to be migrated.
    """
    require_known(database, version)
    if version != versions().current:
        raise PermanentError(
            f"Database {database!r} has schema version {version or 'none'}; this kmdb_dagster needs "
            f"{versions().current}: run `kmdb migrate`."
        )


def check_connections(engine: Engine) -> None:
    """Check the version of the schema on every new connection."""

    def look(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute("SELECT version_num FROM alembic_version")
            found = cursor.fetchone()
        finally:
            cursor.close()
        # Leave no open transaction on the connection.
        connection.rollback()
        require_current(engine.url.database, found[0] if found else None)

    event.listen(engine, "connect", look)
