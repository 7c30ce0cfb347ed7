"""Whether every id belongs to its name: in the tables of names, and in the stored aliases."""

from typing import NamedTuple

from sqlalchemy import Engine, text

from kmdb_dagster.warehouse.server import transaction

WRONG_KEYS = "SELECT COUNT(*) FROM `keys` WHERE digest <> UNHEX(SHA2(string, 256))"
WRONG_USERS = "SELECT COUNT(*) FROM users WHERE digest <> UNHEX(SHA2(name, 256))"
WRONG_ALIASES = (
    "SELECT COUNT(*) FROM aliases a LEFT JOIN users u ON u.id = a.identity1_id LEFT JOIN users v "
    "ON v.id = a.identity2_id WHERE NOT (a.name1 <=> u.name AND a.name2 <=> v.name)"
)


class WrongIds(NamedTuple):
    """Rows whose id is that of another name. Goal: 0 of each, always."""

    keys: int
    """Names whose digest is that of another name."""
    users: int
    """The same, of identities."""
    aliases: int
    """Alias lines of which an id is that of another identity, or of none."""


def wrong_ids(engine: Engine) -> WrongIds:
    """Compare every row of ``keys``, ``users`` and ``aliases``. Takes as long as reading the three tables."""
    counts = []
    for statement in (WRONG_KEYS, WRONG_USERS, WRONG_ALIASES):
        with transaction(engine) as connection:
            counts.append(int(connection.execute(text(statement)).scalar_one()))
    return WrongIds(*counts)
