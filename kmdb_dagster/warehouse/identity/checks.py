"""Checks of identity resolution: facts that carry a wrong person, and over-merged people."""

from typing import NamedTuple

from sqlalchemy import Engine, text

from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.schema.tables import FACTS

COUNT_MISPLACED = (
    "SELECT COUNT(*), COUNT(p.identity_id) FROM {table} f LEFT JOIN user_map m ON m.identity_id = f.identity_id "
    "LEFT JOIN (SELECT DISTINCT identity_id, from_user_id FROM pending_moves) p "
    "ON p.identity_id = f.identity_id AND p.from_user_id = f.user_id WHERE m.user_id IS NULL OR m.user_id <> f.user_id"
)
OVER_MERGED = """
    SELECT m.user_id, COUNT(*) AS identities,
        CAST(SUM(u.name <> '' AND u.name NOT REGEXP '[^0-9]') AS SIGNED) AS numeric_identities
    FROM (SELECT user_id FROM user_map GROUP BY user_id HAVING COUNT(*) > 1) people
    JOIN user_map m ON m.user_id = people.user_id JOIN users u ON u.id = m.identity_id
    GROUP BY m.user_id HAVING numeric_identities > 1 OR identities > :most
    ORDER BY numeric_identities DESC, identities DESC, m.user_id
"""


class Misplaced(NamedTuple):
    """Fact rows whose person is not the one in ``user_map``."""

    rows: int
    """Expected: 0."""
    waiting: int
    """Rows with a pending move: the next import, or `kmdb realias`, moves them."""
    spans: int
    """Pending spans: any row in them may carry a wrong person until `kmdb realias` has searched them."""


class OverMergedPerson(NamedTuple):
    """A person with many identities. ``user_id`` is a number of the database, not of KissMetrics."""

    user_id: int
    identities: int
    numeric_identities: int


def misplaced_facts(engine: Engine) -> Misplaced:
    """Count facts that carry a wrong person. Reads ``events`` and ``properties`` completely."""
    rows = waiting = 0
    with transaction(engine) as connection:
        for table in FACTS:
            found, moving = connection.execute(text(COUNT_MISPLACED.format(table=table))).one()
            rows, waiting = rows + found - moving, waiting + moving
        spans = connection.execute(text("SELECT COUNT(*) FROM pending_spans")).scalar_one()
    return Misplaced(rows, waiting, spans)


def over_merged_people(engine: Engine, most_identities: int) -> list[OverMergedPerson]:
    """Find people with two numeric identities, or with more than ``most_identities``; the worst first."""
    with transaction(engine) as connection:
        return [OverMergedPerson(*row) for row in connection.execute(text(OVER_MERGED), {"most": most_identities})]
