"""Ids of names, looked up by digest in the transaction that uses them.

An id means something only together with a commit that survived: after a power failure, a failover or a restored backup
the server hands the same number out again, for another name. So no id outlives the transaction that looked it up
(docs/decisions/0023-verified-ids.md).
"""

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Connection

from kmdb_dagster.digest import digest
from kmdb_dagster.errors import PermanentError, TransientError

NAMES_PER_STATEMENT = 1000

KEYS = "SELECT digest, id FROM `keys` WHERE digest IN ({digests})"
IDENTITIES = "SELECT digest, id FROM users WHERE digest IN ({digests})"
# A left join: an identity that is missing is interned again, one that only `user_map` lacks is not.
PERSONS = (
    "SELECT u.digest, u.id, m.user_id FROM users u LEFT JOIN user_map m ON m.identity_id = u.id "
    "WHERE u.digest IN ({digests})"
)


class UnresolvedError(TransientError):
    """A revision is not resolved as it is in its Parquet: names or aliases are missing. Resolve it, then try again."""


def key_ids(connection: Connection, names: Collection[str]) -> dict[str, int]:
    """Return ``keys.id`` of each event or property name.

    Raises:
        UnresolvedError: some names are missing.
    """
    return {name: int(row[0]) for name, row in _rows(connection, KEYS, names).items()}


def identity_ids(connection: Connection, names: Collection[str]) -> dict[str, int]:
    """Return ``users.id`` of each identity.

    Raises:
        UnresolvedError: some identities are missing.
    """
    return {name: int(row[0]) for name, row in _rows(connection, IDENTITIES, names).items()}


def persons_of(connection: Connection, names: Collection[str]) -> dict[str, tuple[Any, ...]]:
    """Return the ids of each identity and of its person.

    Raises:
        UnresolvedError: some identities are missing.
        PermanentError: identities are there, and `user_map` lacks them.
    """
    found = _rows(connection, PERSONS, names)
    lost = sum(person is None for _, person in found.values())
    if lost:
        raise PermanentError(f"user_map lacks {lost} identities that are in `users`. Run `kmdb realias`.")
    return found


def select_by_digest(connection: Connection, statement: str, digests: Collection[bytes]) -> Iterator[Any]:
    """Yield the rows of a statement with ``IN ({digests})``, however many digests there are.

    Args:
        connection: a transaction.
        statement: SQL with ``{digests}`` in a list.
        digests: SHA-256 digests, of any number.
    """
    wanted = list(digests)
    for start in range(0, len(wanted), NAMES_PER_STATEMENT):
        # As literals: SQLAlchemy takes longer to bind a thousand parameters than the server to find them.
        literals = ", ".join(f"0x{key.hex()}" for key in wanted[start : start + NAMES_PER_STATEMENT])
        yield from connection.exec_driver_sql(statement.format(digests=literals)).all()


def _rows(connection: Connection, statement: str, names: Collection[str]) -> dict[str, tuple[Any, ...]]:
    name_of = {digest(name): name for name in names}
    found = {name_of[bytes(row[0])]: row[1:] for row in select_by_digest(connection, statement, name_of)}
    if len(found) < len(name_of):
        raise UnresolvedError(f"The database lacks {len(name_of) - len(found)} of {len(name_of)} names.")
    return found
