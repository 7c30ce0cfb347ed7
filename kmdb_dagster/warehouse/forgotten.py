"""``forgotten_identities``: who is to stay out, by digest. What is in of them is removed by ``forget``.

A row without ``done_at`` is one whose removal has not come to its end. Rows only come to be: no run that holds ids can
meet one that it must let in again.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.export.forgotten import Forgotten, digest
from kmdb_dagster.warehouse.rules import rule_to_follow
from kmdb_dagster.warehouse.server import IDS_PER_STATEMENT, insert, transaction

MEANWHILE = "Somebody was forgotten meanwhile. The revision will be taken anew."

ASK = "INSERT INTO forgotten_identities (digest) VALUES (%s) ON DUPLICATE KEY UPDATE done_at = NULL"
NOTE = "INSERT INTO forgotten_identities (digest) VALUES (%s) ON DUPLICATE KEY UPDATE done_at = done_at"


def read_forgotten(connection: Connection) -> Forgotten:
    """All of them."""
    return Forgotten(map(bytes, connection.execute(text("SELECT digest FROM forgotten_identities")).scalars()))


def ask_to_forget(engine: Engine, digests: Collection[bytes]) -> None:
    """Write identities down, from now on to be left out, and to be removed, again if they were before."""
    with transaction(engine) as connection:
        insert(connection, ASK, [(item,) for item in digests])


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
