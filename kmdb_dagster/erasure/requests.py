"""The erasure list (`forgotten_identities`): add identities to it, and record which erasures are complete.

Imports redact every identity on the list. A row without ``done_at`` is an erasure that is not complete.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import Engine, text

from kmdb_dagster.digest import digest
from kmdb_dagster.warehouse.connection.bindings import KnownFolder, read_folders
from kmdb_dagster.warehouse.connection.server import IDS_PER_STATEMENT, insert, transaction
from kmdb_dagster.warehouse.identity.rules import effective_rule

SEARCHED = "INSERT IGNORE INTO searched_folders (digest, folder_id) VALUES (%s, %s)"
NOT_SEARCHED = (
    "SELECT d.id, d.host, d.path, d.used_at FROM data_folders d WHERE EXISTS (SELECT 1 FROM forgotten_identities f "
    "JOIN searched_folders here ON here.digest = f.digest AND here.folder_id = :folder WHERE f.done_at IS NULL AND "
    "NOT EXISTS (SELECT 1 FROM searched_folders s WHERE s.digest = f.digest AND s.folder_id = d.id)) ORDER BY d.used_at"
)
COMPLETE = (
    # A row of `searched_folders` also says that the tables are done: they are searched before the first folder.
    (
        "UPDATE forgotten_identities f SET done_at = UTC_TIMESTAMP() WHERE f.done_at IS NULL "
        "AND EXISTS (SELECT 1 FROM searched_folders s WHERE s.digest = f.digest) AND NOT EXISTS (SELECT 1 FROM "
        "data_folders d WHERE NOT EXISTS (SELECT 1 FROM searched_folders s WHERE s.digest = f.digest "
        "AND s.folder_id = d.id))"
    ),
    "DELETE s FROM searched_folders s JOIN forgotten_identities f ON f.digest = s.digest WHERE f.done_at IS NOT NULL",
)

REQUEST = "INSERT INTO forgotten_identities (digest) VALUES (%s) ON DUPLICATE KEY UPDATE done_at = NULL"
EXTEND = "INSERT INTO forgotten_identities (digest) VALUES (%s) ON DUPLICATE KEY UPDATE done_at = done_at"


def request_erasure(engine: Engine, digests: Collection[bytes]) -> None:
    """Add identities to the erasure list. Imports redact them from this commit on.

    An erasure that was complete starts again.
    """
    items = sorted(digests)
    with transaction(engine) as connection:
        insert(connection, REQUEST, [(item,) for item in items])
        for start in range(0, len(items), IDS_PER_STATEMENT):
            part = ", ".join(f"0x{item.hex()}" for item in items[start : start + IDS_PER_STATEMENT])
            connection.exec_driver_sql(f"DELETE FROM searched_folders WHERE digest IN ({part})")  # noqa: S608 - hexadecimal


def record_searched(engine: Engine, digests: Collection[bytes], folder: bytes) -> None:
    """Record that neither the tables nor this data folder hold data of these identities.

    Args:
        engine: the warehouse.
        digests: SHA-256 digests of the erased identities.
        folder: the id of the data folder that was searched.
    """
    with transaction(engine) as connection:
        insert(connection, SEARCHED, [(item, folder) for item in sorted(digests)])


def complete_erasures(engine: Engine, folder: bytes) -> list[KnownFolder]:
    """Complete the erasures for which every data folder of this database was searched.

    Args:
        engine: the warehouse.
        folder: the id of a data folder that was searched.

    Returns:
        The other data folders that must still be searched for the same identities.
    """
    with transaction(engine) as connection:
        for statement in COMPLETE:
            connection.execute(text(statement))
        return read_folders(connection, NOT_SEARCHED, folder=folder)


def find_digests(engine: Engine, digests: Collection[bytes]) -> set[bytes]:
    """Return those of the digests whose identity is in `users`."""
    found: set[bytes] = set()
    literals = [f"0x{item.hex()}" for item in sorted(digests)]
    with transaction(engine) as connection:
        for start in range(0, len(literals), IDS_PER_STATEMENT):
            part = ", ".join(literals[start : start + IDS_PER_STATEMENT])
            statement = f"SELECT digest FROM users WHERE digest IN ({part})"  # noqa: S608 - hexadecimal
            found.update(map(bytes, connection.exec_driver_sql(statement).scalars()))
    return found


def extend_erasures(engine: Engine, edges: Iterable[tuple[str, str]], *, numeric_apart: bool) -> None:
    """Add identities to the list that an alias line connects with an erased one: they are the same person.

    Some alias lines do not make one person, so they add nothing: those of a placeholder or an ignored identity, and
    all of them while numeric identities are kept apart.

    Args:
        engine: the warehouse.
        edges: the alias edges, each an erased identity and another one.
        numeric_apart: KMDB_NUMERIC_APART.
    """
    pairs = list(edges)
    if not pairs:
        return
    with transaction(engine) as connection:
        rule = effective_rule(connection, numeric_apart=numeric_apart)
        if rule.apart:
            return
        others = {other for erased, other in pairs if rule.connects(erased, other)}
        insert(connection, EXTEND, sorted((digest(other),) for other in others))
