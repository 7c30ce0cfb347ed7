"""The secondary indexes of the facts: dropped while a history is imported, then built by sorting.

Without ``by_user`` no fact can follow a person at a bearable price. Until it is there again such facts wait in
``pending_moves``, as those of an import that was killed do.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from sqlalchemy import Connection, Engine, bindparam, text

from kmdb_dagster.warehouse.connection.server import autocommit, long_statements, server_of

INDEXES: Mapping[str, Mapping[str, str]] = {
    "events": {"by_name": "(n, t, user_id)", "by_user": "(user_id, t)"},
    "properties": {"by_key": "(`key`, t)", "by_user": "(user_id, `key`, t)", "by_event": "(event_id, t)"},
}
"""Of each table, as the migrations make them. docs/reference/tables.md says which question each serves."""

HAS_DDL_BUFFER = (8, 0, 27)
DDL_BUFFER = 128 * 1024 * 1024
"""Bytes in which MySQL sorts an index, in place of 1 MB (MySQL 8.4 Reference Manual, 17.12.4)."""

INDEXES_ARE_MISSING = (
    "Indexes of events and properties are missing, so queries read whole tables: run `kmdb index build`."
)


def missing(connection: Connection) -> dict[str, list[str]]:
    """Return the missing indexes of each table; tables with all indexes are left out."""
    found = connection.execute(
        text(
            "SELECT DISTINCT TABLE_NAME, INDEX_NAME FROM INFORMATION_SCHEMA.STATISTICS "
            "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN :tables"
        ).bindparams(bindparam("tables", tuple(INDEXES), expanding=True))
    )
    there = {(str(table), str(name)) for table, name in found}
    lacking = {table: [name for name in names if (table, name) not in there] for table, names in INDEXES.items()}
    return {table: names for table, names in lacking.items() if names}


def is_any_index_missing(engine: Engine) -> bool:
    """Return whether at least one index is missing."""
    with autocommit(engine) as connection:
        return bool(missing(connection))


def drop(engine: Engine) -> list[str]:
    """Drop all secondary indexes of the facts, which takes no time. Return the statements."""
    with autocommit(engine) as connection:
        lacking = missing(connection)
    return _alter(
        engine,
        {
            table: [f"DROP KEY {name}" for name in names if name not in lacking.get(table, ())]
            for table, names in INDEXES.items()
        },
    )


def build(engine: Engine) -> list[str]:
    """Build the missing indexes, both tables at once. Idempotent. Pending moves are applied afterwards.

    Queries go on meanwhile; imports wait for its end. Returns the statements.
    """
    with autocommit(engine) as connection:
        lacking = missing(connection)
    return _alter(
        engine,
        {table: [f"ADD KEY {name} {INDEXES[table][name]}" for name in names] for table, names in lacking.items()},
    )


def _alter(engine: Engine, changes: Mapping[str, list[str]]) -> list[str]:
    # LOCK=SHARED: with writers, the server's online log would soon be full, and the build would fail.
    statements = [
        f"ALTER TABLE {table} {', '.join(parts)}, ALGORITHM=INPLACE, LOCK=SHARED"
        for table, parts in changes.items()
        if parts
    ]
    with ThreadPoolExecutor(len(INDEXES)) as tables:
        list(tables.map(partial(_execute, engine), statements))
    return statements


def _execute(engine: Engine, statement: str) -> None:
    with long_statements(engine) as patient, autocommit(patient) as connection:
        server = server_of(connection)
        if not server.maria and server.version >= HAS_DDL_BUFFER:
            connection.exec_driver_sql(f"SET SESSION innodb_ddl_buffer_size = {DDL_BUFFER}")
        connection.exec_driver_sql(statement)
