"""Whether every id belongs to its name. The ids of alias lines: `warehouse.ledger.consistency`."""

from typing import NamedTuple

from sqlalchemy import Engine, text

from kmdb_dagster.warehouse.connection.server import transaction

WRONG_KEYS = "SELECT COUNT(*) FROM `keys` WHERE digest <> UNHEX(SHA2(string, 256))"
WRONG_USERS = "SELECT COUNT(*) FROM users WHERE digest <> UNHEX(SHA2(name, 256))"


class WrongIds(NamedTuple):
    """Rows whose id is that of another name. Expected: 0 of each."""

    keys: int
    """Names whose digest is that of another name."""
    users: int
    """The same, of identities."""


def wrong_ids(engine: Engine) -> WrongIds:
    """Compare every row of ``keys`` and ``users``. Takes as long as reading the two tables."""
    counts = []
    for statement in (WRONG_KEYS, WRONG_USERS):
        with transaction(engine) as connection:
            counts.append(int(connection.execute(text(statement)).scalar_one()))
    return WrongIds(*counts)
