"""One person: identities, the latest value of each property, and everything that the person did, line by line."""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection, text

from kmdb_dagster.warehouse.identity.erasure_list import people_being_erased
from kmdb_dagster.warehouse.interning.lookup import PERSONS, select_by_digest
from kmdb_dagster.warehouse.schema.row_ids import ORDINAL_BITS

ROWS_PER_FETCH = 1000

SUMMARY = text(
    "SELECT (SELECT COUNT(*) FROM events WHERE user_id = :person), "
    "(SELECT MIN(t) FROM events WHERE user_id = :person), (SELECT MAX(t) FROM events WHERE user_id = :person)"
)
IDENTITIES = text(
    "SELECT u.name FROM user_map m JOIN users u ON u.id = m.identity_id WHERE m.user_id = :person "
    "ORDER BY m.identity_id <> m.user_id, u.name"
)
LATEST = text(
    "SELECT k.string, p.value, p.t FROM (SELECT `key`, value, t, "
    "ROW_NUMBER() OVER (PARTITION BY `key` ORDER BY t DESC, id DESC) AS nth FROM properties WHERE user_id = :person) p "
    "JOIN `keys` k ON k.id = p.`key` WHERE p.nth = 1 ORDER BY k.string"
)
# A row id is the place in the export, so the event of a line is just before the properties of the same line.
LINES = text(
    "SELECT f.id, f.t AS moment, f.kind, k.string AS fact, f.value, i.name AS identity FROM ("
    "SELECT id, t, 'event' AS kind, n AS name_id, NULL AS value, identity_id FROM events WHERE user_id = :person "
    "UNION ALL SELECT id, t, 'property', `key`, value, identity_id FROM properties WHERE user_id = :person) f "
    "JOIN `keys` k ON k.id = f.name_id JOIN users i ON i.id = f.identity_id ORDER BY f.t DESC, f.id DESC"
)


class Latest(NamedTuple):
    """The latest value of a property."""

    name: str
    value: str | None
    t: datetime


class Line(NamedTuple):
    """What a line of the export says about the person."""

    t: datetime
    identity: str
    """As KM wrote it."""
    event: str | None
    """None: the line sets properties without an event."""
    properties: dict[str, str | None]


class Person(NamedTuple):
    """A person, without the lines."""

    id: int
    """``users.id`` of the canonical identity."""
    identities: list[str]
    """The canonical identity first."""
    events: int
    first_seen: datetime | None
    last_seen: datetime | None
    properties: list[Latest]


def find_people(connection: Connection, digests: set[bytes]) -> dict[bytes, int]:
    """Return the person of each digest of an identity that the database has. A person being erased is not found."""
    erased = people_being_erased(connection)
    rows = select_by_digest(connection, PERSONS, digests)
    return {bytes(row[0]): int(row[2]) for row in rows if row[2] is not None and row[2] not in erased}


def read_person(connection: Connection, person: int) -> Person:
    """Read a person by ``users.id`` of the canonical identity."""
    key = {"person": person}
    identities = list(connection.execute(IDENTITIES, key).scalars())
    events, first_seen, last_seen = connection.execute(SUMMARY, key).one()
    latest = [Latest(*row) for row in connection.execute(LATEST, key)]
    return Person(person, identities, events, first_seen, last_seen, latest)


def read_lines(connection: Connection, person: int) -> Iterator[Line]:
    """Stream what a person did and was given, the latest first. Read it to the end, or close the connection."""
    rows = connection.execute(LINES, {"person": person}, execution_options={"yield_per": ROWS_PER_FETCH})
    for _, group in groupby(rows, key=lambda row: row.id >> ORDINAL_BITS):
        facts = list(group)[::-1]
        event = next((row.fact for row in facts if row.kind == "event"), None)
        properties = {row.fact: row.value for row in facts if row.kind == "property"}
        yield Line(facts[0].moment, facts[0].identity, event, properties)
