"""The schema and its history, as Alembic migrations: ``versions/`` holds one file a change."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from kmdb_dagster.warehouse.connection.server import connect, named_lock, server_of
from kmdb_dagster.warehouse.schema.state_rows import restore_warehouse_state
from kmdb_dagster.warehouse.schema.version import require_known

LOCK_TIMEOUT_SECONDS = 60


def migrate(engine: Engine) -> tuple[str | None, str | None]:
    """Bring the schema up to date, and restore the row of ``warehouse_state``; does nothing if all is there.

    Returns:
        The schema's version before and after.

    Raises:
        PermanentError: the server is too old, this user may not change the schema, or a newer program has changed it.
        TransientError: another process holds the migration lock for a minute.
    """
    # A separate engine: connections of a warehouse refuse a schema that is not current.
    own = connect(engine.url)
    try:
        return _migrate(own)
    finally:
        own.dispose()


def _migrate(engine: Engine) -> tuple[str | None, str | None]:
    with named_lock(engine, "migrate", LOCK_TIMEOUT_SECONDS) as connection:
        server_of(connection)
        before = _version(connection)
        require_known(engine.url.database, before)
        configuration = Config()
        configuration.set_main_option("script_location", "kmdb_dagster.warehouse.schema:migrations")
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
        restore_warehouse_state(connection)
        return before, _version(connection)


def _version(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
