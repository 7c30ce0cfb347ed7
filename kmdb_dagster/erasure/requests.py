"""``forgotten_identities``: who is to stay out, by digest. What is in of them is removed by ``forget``.

A row without ``done_at`` is one whose removal has not come to its end. Rows only come to be: no run that holds ids can
meet one that it must let in again.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.digest import digest
from kmdb_dagster.erasure.digests import Forgotten
from kmdb_dagster.warehouse.connection.bindings import KnownFolder, read_folders
from kmdb_dagster.warehouse.connection.server import IDS_PER_STATEMENT, insert, transaction
from kmdb_dagster.warehouse.identity.rules import rule_to_follow

MEANWHILE = "Somebody was forgotten meanwhile. The revision will be taken anew."

SEARCHED = "INSERT IGNORE INTO searched_folders (digest, folder_id) VALUES (%s, %s)"
NOT_SEARCHED = (
    "SELECT d.id, d.host, d.path, d.used_at FROM data_folders d WHERE EXISTS (SELECT 1 FROM forgotten_identities f "
    "JOIN searched_folders here ON here.digest = f.digest AND here.folder_id = :folder WHERE f.done_at IS NULL AND "
    "NOT EXISTS (SELECT 1 FROM searched_folders s WHERE s.digest = f.digest AND s.folder_id = d.id)) ORDER BY d.used_at"
)
COMPLETE = (
    # Some folder was searched, after the tables, and none of the others is left.
    (
        "UPDATE forgotten_identities f SET done_at = UTC_TIMESTAMP() WHERE f.done_at IS NULL "
        "AND EXISTS (SELECT 1 FROM searched_folders s WHERE s.digest = f.digest) AND NOT EXISTS (SELECT 1 FROM "
        "data_folders d WHERE NOT EXISTS (SELECT 1 FROM searched_folders s WHERE s.digest = f.digest "
        "AND s.folder_id = d.id))"
    ),
    "DELETE s FROM searched_folders s JOIN forgotten_identities f ON f.digest = s.digest WHERE f.done_at IS NOT NULL",
)

ASK = "INSERT INTO forgotten_identities (digest) VALUES (%s) ON DUPLICATE KEY UPDATE done_at = NULL"
NOTE = "INSERT INTO forgotten_identities (digest) VALUES (%s) ON DUPLICATE KEY UPDATE done_at = done_at"


def read_forgotten(connection: Connection) -> Forgotten:
    """All of them."""
    return Forgotten(map(bytes, connection.execute(text("SELECT digest FROM forgotten_identities")).scalars()))


def request_erasure(engine: Engine, digests: Collection[bytes]) -> None:
    """Write identities down, from now on to be left out, and to be removed, again if they were before."""
    items = sorted(digests)
    with transaction(engine) as connection:
        insert(connection, ASK, [(item,) for item in items])
        for start in range(0, len(items), IDS_PER_STATEMENT):
            part = ", ".join(f"0x{item.hex()}" for item in items[start : start + IDS_PER_STATEMENT])
            connection.exec_driver_sql(f"DELETE FROM searched_folders WHERE digest IN ({part})")  # noqa: S608 - hexadecimal


def note_searched(engine: Engine, digests: Collection[bytes], folder: bytes) -> None:
    """Note that neither the tables nor this data folder hold anything of these identities."""
    with transaction(engine) as connection:
        insert(connection, SEARCHED, [(item, folder) for item in sorted(digests)])


def complete_erasures(engine: Engine, folder: bytes) -> list[KnownFolder]:
    """End the erasures for which every data folder of this database was searched.

    Returns:
        The data folders that are still to be searched for what was done in this one.
    """
    with transaction(engine) as connection:
        for statement in COMPLETE:
            connection.execute(text(statement))
        return read_folders(connection, NOT_SEARCHED, folder=folder)


def present(engine: Engine, digests: Collection[bytes]) -> set[bytes]:
    """The digests of identities that the database has."""
    found: set[bytes] = set()
    literals = [f"0x{item.hex()}" for item in sorted(digests)]
    with transaction(engine) as connection:
        for start in range(0, len(literals), IDS_PER_STATEMENT):
            part = ", ".join(literals[start : start + IDS_PER_STATEMENT])
            statement = f"SELECT digest FROM users WHERE digest IN ({part})"  # noqa: S608 - hexadecimal
            found.update(map(bytes, connection.exec_driver_sql(statement).scalars()))
    return found


def being_forgotten(connection: Connection) -> int:
    """How many identities are still to be removed."""
    found = connection.execute(text("SELECT COUNT(*) FROM forgotten_identities WHERE done_at IS NULL"))
    return int(found.scalar_one())


def forget_tied(engine: Engine, ties: Iterable[tuple[str, str]], *, numeric_apart: bool) -> None:
    """Alias lines tie identities to forgotten ones: had they come in before, they would be forgotten too.

    Not where aliases do not simply make one person: by a placeholder or an ignored user, or where numeric identities
    stay apart.
    """
    pairs = list(ties)
    if not pairs:
        return
    with transaction(engine) as connection:
        rule = rule_to_follow(connection, numeric_apart=numeric_apart)
        if rule.apart:
            return
        others = {other for one, other in pairs if rule.ties(one, other)}
        insert(connection, NOTE, sorted((digest(other),) for other in others))
