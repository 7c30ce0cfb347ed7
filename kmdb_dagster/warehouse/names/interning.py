"""Names to ids: event and property names in ``keys``, identities in ``users``, each stored once.

A revision costs a handful of statements, not one a name. Names are committed before anybody uses their ids, so
two runs that meet the same new name agree; a run that dies leaves at most names that nothing refers to yet.
"""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.errors import TransientError
from kmdb_dagster.export.forgotten import digest
from kmdb_dagster.warehouse.forgotten import MEANWHILE, read_forgotten
from kmdb_dagster.warehouse.names.cache import IdCache, Kind
from kmdb_dagster.warehouse.server import insert, named_lock, transaction

NAMES_PER_STATEMENT = 1000
LOCK_SECONDS = 60


class _Table(NamedTuple):
    kind: Kind
    column: str


KEYS = _Table("keys", "string")
USERS = _Table("users", "name")


class Interner:
    """Looks up and hands out ids."""

    def __init__(self, engine: Engine, cache: IdCache) -> None:
        self._engine = engine
        self._cache = cache

    @property
    def generation(self) -> str:
        """Which numbering the ids belong to: see ``warehouse_state``."""
        return self._cache.generation

    def key_ids(self, names: Collection[str]) -> dict[str, int]:
        """``keys.id`` of event and property names."""
        return self._intern(KEYS, names)

    def user_ids(self, names: Collection[str]) -> dict[str, int]:
        """``users.id`` of identities. A new one stands for itself in ``user_map``."""
        return self._intern(USERS, names)

    def drop_users(self, digests: Collection[bytes]) -> None:
        """Identities that are no longer in."""
        self._cache.drop(USERS.kind, digests)

    def _intern(self, table: _Table, names: Collection[str]) -> dict[str, int]:
        digests = {digest(name): name for name in names}
        found = self._cache.get(table.kind, digests)
        missing = [item for item in digests.items() if item[0] not in found]
        for start in range(0, len(missing), NAMES_PER_STATEMENT):
            ids = self._look_up_or_add(table, dict(missing[start : start + NAMES_PER_STATEMENT]))
            self._cache.put(table.kind, ids)
            found |= ids
        return {name: found[key] for key, name in digests.items()}

    def _look_up_or_add(self, table: _Table, names: dict[bytes, str]) -> dict[bytes, int]:
        with transaction(self._engine) as connection:
            ids = _look_up(connection, table, names)
        if len(ids) < len(names):
            ids |= self._add(table, {key: name for key, name in names.items() if key not in ids})
        return ids

    def _add(self, table: _Table, names: dict[bytes, str]) -> dict[bytes, int]:
        # One at a time: two that add the same names end in deadlocks, and on MariaDB the row that was in the way of
        # one may be gone a moment later, with the other that had to give in.
        with named_lock(self._engine, table.kind, LOCK_SECONDS), transaction(self._engine) as connection:
            ids = _look_up(connection, table, names)
            new = [(key, name) for key, name in names.items() if key not in ids]
            if table is USERS:
                _check_remembered(connection, [key for key, _ in new])
            if new:
                insert(connection, f"INSERT INTO `{table.kind}` (digest, `{table.column}`) VALUES (%s, %s)", new)  # noqa: S608
                added = _look_up(connection, table, [key for key, _ in new])
                if table is USERS:
                    _map_to_themselves(connection, added.values())
                ids |= added
        return ids


def _look_up(connection: Connection, table: _Table, digests: Collection[bytes]) -> dict[bytes, int]:
    # As literals: SQLAlchemy takes longer to bind a thousand parameters than the server to find them.
    literals = ", ".join(f"0x{key.hex()}" for key in digests)
    found = connection.exec_driver_sql(f"SELECT digest, id FROM `{table.kind}` WHERE digest IN ({literals})")  # noqa: S608
    return {bytes(key): int(number) for key, number in found}


def _check_remembered(connection: Connection, digests: Collection[bytes]) -> None:
    """Refuse to add somebody who was forgotten since the caller looked. Who forgets holds the lock too."""
    if digests and not read_forgotten(connection).digests.isdisjoint(digests):
        raise TransientError(MEANWHILE)


def _map_to_themselves(connection: Connection, identities: Collection[int]) -> None:
    # Whoever adds holds the lock, so nobody else's identities lie between these.
    connection.execute(
        text(
            "INSERT INTO user_map (identity_id, user_id) SELECT id, id FROM users WHERE id BETWEEN :first AND :last "
            "ON DUPLICATE KEY UPDATE identity_id = identity_id"
        ),
        {"first": min(identities), "last": max(identities)},
    )
