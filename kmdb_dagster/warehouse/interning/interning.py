"""Interning: event and property names are stored once in ``keys``, identities once in ``users``.

Adds what is missing, and commits. Returns no ids: they are looked up in the transaction that uses them
(`warehouse.interning.lookup`). A run that is killed leaves at most names that nothing refers to yet.
"""

from collections.abc import Collection
from typing import Literal, NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.digest import digest
from kmdb_dagster.errors import TransientError
from kmdb_dagster.warehouse.connection.server import insert, named_lock, transaction
from kmdb_dagster.warehouse.identity.erasure_list import ERASED_MEANWHILE, read_erased_digests
from kmdb_dagster.warehouse.interning.lookup import IDENTITIES, NAMES_PER_STATEMENT, select_by_digest
from kmdb_dagster.warehouse.interning.lookup import KEYS as SELECT_KEYS

SPAN_OF_IDS = "SELECT MIN(id) AS lowest, MAX(id) AS highest FROM users WHERE digest IN ({digests})"
LOCK_TIMEOUT_SECONDS = 60


class _Table(NamedTuple):
    kind: Literal["keys", "users"]
    column: str
    select: str


KEYS = _Table("keys", "string", SELECT_KEYS)
USERS = _Table("users", "name", IDENTITIES)


def intern_keys(engine: Engine, names: Collection[str]) -> None:
    """Add the event and property names that ``keys`` lacks."""
    _intern(engine, KEYS, names)


def intern_identities(engine: Engine, names: Collection[str]) -> None:
    """Add the identities that ``users`` lacks. A new one is its own person in ``user_map``."""
    _intern(engine, USERS, names)


def _intern(engine: Engine, table: _Table, names: Collection[str]) -> None:
    if not names:
        return
    name_of = {digest(name): name for name in names}
    with transaction(engine) as connection:
        known = _ids(connection, table, name_of)
    missing = [item for item in name_of.items() if item[0] not in known]
    for start in range(0, len(missing), NAMES_PER_STATEMENT):
        _add(engine, table, dict(missing[start : start + NAMES_PER_STATEMENT]))


def _ids(connection: Connection, table: _Table, digests: Collection[bytes]) -> dict[bytes, int]:
    return {bytes(key): int(number) for key, number in select_by_digest(connection, table.select, digests)}


def _add(engine: Engine, table: _Table, names: dict[bytes, str]) -> None:
    # One at a time: two that add the same names end in deadlocks, and on MariaDB the row that was in the way of
    # one may be gone a moment later, with the other that had to give in.
    with named_lock(engine, table.kind, LOCK_TIMEOUT_SECONDS), transaction(engine) as connection:
        known = _ids(connection, table, names)
        new = [(key, name) for key, name in names.items() if key not in known]
        if table is USERS:
            _check_not_erased(connection, [key for key, _ in new])
        if new:
            insert(connection, f"INSERT INTO `{table.kind}` (digest, `{table.column}`) VALUES (%s, %s)", new)  # noqa: S608
        if new and table is USERS:
            _map_to_themselves(connection, [key for key, _ in new])


def _check_not_erased(connection: Connection, digests: Collection[bytes]) -> None:
    """Refuse identities that were erased since the caller read the list. Erasure writes it under the same lock."""
    if digests and not read_erased_digests(connection).isdisjoint(digests):
        raise TransientError(ERASED_MEANWHILE)


def _map_to_themselves(connection: Connection, digests: Collection[bytes]) -> None:
    # The lock is held, so no other process has added identities between these.
    (span,) = select_by_digest(connection, SPAN_OF_IDS, digests)
    connection.execute(
        text(
            "INSERT INTO user_map (identity_id, user_id) SELECT id, id FROM users WHERE id BETWEEN :lowest AND "
            ":highest ON DUPLICATE KEY UPDATE identity_id = identity_id"
        ),
        {"lowest": span.lowest, "highest": span.highest},
    )
