"""Views for tools that want one row an event, or one a person, and a column for each property.

Each can be made again at any time. A view stands by its names, not by ids: it outlives a `kmdb flush`.
Docs/decisions/0021 says why it is made of joins, and what was measured.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Engine

from kmdb_dagster.analysis.columns import Column, event_columns, execute, key_id, person_columns, quoted
from kmdb_dagster.analysis.names import LONGEST, marked, unique_names
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.connection.server import autocommit

MOST_PROPERTIES = 55
"""MySQL joins 61 tables at the most, and whoever asks a view may want to join others to it."""
PREFIX = "event_"
PEOPLE = "people"
EVENT_COLUMNS = ("event_id", "t", "user_id", "identity_id")
PEOPLE_COLUMNS = ("user_id", "person", "identities", "events", "first_seen", "last_seen")

VIEW = "CREATE OR REPLACE SQL SECURITY INVOKER VIEW {name} AS SELECT {columns} FROM {tables}"
JOIN = "LEFT JOIN properties {p} ON {p}.`key` = {key} AND {p}.t = e.t AND {p}.event_id = e.id"
LATEST = """LEFT JOIN (
    SELECT user_id, value FROM (
        SELECT user_id, value, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY t DESC, id DESC) AS nth
        FROM properties WHERE `key` = {key}
    ) {p}_all WHERE nth = 1
) {p} ON {p}.user_id = m.user_id"""
PERSONS = """(SELECT user_id, COUNT(*) AS identities FROM user_map GROUP BY user_id) m
JOIN users u ON u.id = m.user_id
LEFT JOIN (
    SELECT user_id, COUNT(*) AS events, MIN(t) AS first_seen, MAX(t) AS last_seen FROM events GROUP BY user_id
) e ON e.user_id = m.user_id"""


class View(NamedTuple):
    """A view that there is."""

    name: str
    columns: int


class Made(NamedTuple):
    """A view that was made."""

    name: str
    columns: list[Column]
    left_out: int
    """Properties that found no room: those that the fewest events have."""


def create_event_view(engine: Engine, event: str, properties: Iterable[str] = ()) -> Made:
    """Make the view of an event: one row an event, one column a property.

    Args:
        engine: The warehouse.
        event: The event's name.
        properties: Those that get a column; all if none is named, as far as there is room.

    Raises:
        PermanentError: no event has this name, or it has no property of a name that was given.
    """
    with autocommit(engine) as connection:
        name = view_name(event, [str(row[0]) for row in execute(connection, "SELECT string FROM `keys`")])
        found = _chosen(event_columns(connection, event), tuple(properties))
        columns = found[:MOST_PROPERTIES]
        joins = [JOIN.format(p=f"p{n}", key=key_id(column.name)) for n, column in enumerate(columns, start=1)]
        tables = " ".join(["events e", *joins, f"WHERE e.n = {key_id(event)}"])
        own = ["e.id AS event_id", "e.t AS t", "e.user_id AS user_id", "e.identity_id AS identity_id"]
        _create(engine, name, [*own, *_values(columns, EVENT_COLUMNS)], tables)
    return Made(name, columns, len(found) - len(columns))


def create_people_view(engine: Engine, properties: Iterable[str] = ()) -> Made:
    """Make the view of people: one row a person, one column for the latest value of each of these properties."""
    with autocommit(engine) as connection:
        columns = person_columns(connection, tuple(properties)[:MOST_PROPERTIES])
    joins = [LATEST.format(p=f"p{n}", key=key_id(column.name)) for n, column in enumerate(columns, start=1)]
    own = ["m.user_id AS user_id", "u.name AS person", "m.identities AS identities"]
    own += ["COALESCE(e.events, 0) AS events", "e.first_seen AS first_seen", "e.last_seen AS last_seen"]
    _create(engine, PEOPLE, [*own, *_values(columns, PEOPLE_COLUMNS)], "\n".join([PERSONS, *joins]))
    return Made(PEOPLE, columns, 0)


def list_views(engine: Engine) -> list[View]:
    """The views that were made here, by name."""
    statement = (
        "SELECT v.TABLE_NAME, COUNT(*) FROM INFORMATION_SCHEMA.VIEWS v JOIN INFORMATION_SCHEMA.COLUMNS c "
        "ON c.TABLE_SCHEMA = v.TABLE_SCHEMA AND c.TABLE_NAME = v.TABLE_NAME WHERE v.TABLE_SCHEMA = DATABASE() "
        "GROUP BY v.TABLE_NAME ORDER BY v.TABLE_NAME"
    )
    with autocommit(engine) as connection:
        found = [View(str(name), int(str(columns))) for name, columns in execute(connection, statement)]
    return [view for view in found if view.name == PEOPLE or view.name.startswith(PREFIX)]


def drop_view(engine: Engine, name: str) -> None:
    """Drop a view by its name. The data stays.

    Raises:
        PermanentError: there is no such view.
    """
    if name not in {view.name for view in list_views(engine)}:
        raise PermanentError(f"There is no view {name!r} of ours. `kmdb view list` names those that there are.")
    with autocommit(engine) as connection:
        execute(connection, f"DROP VIEW {quoted(name)}")


def view_name(event: str, others: Iterable[str]) -> str:
    """The name of an event's view: ``event_signed_up``. Events that would share one get a digest at the end."""
    slugs = {name: PREFIX + re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") for name in others}
    if event not in slugs:
        raise PermanentError("No event has this name. Names are compared exactly: see the table `keys`.")
    slug = slugs[event]
    alone = list(slugs.values()).count(slug) == 1 and len(slug) <= LONGEST
    return slug if alone else marked(slug, event)


def _chosen(found: list[Column], properties: tuple[str, ...]) -> list[Column]:
    if not properties:
        return found
    by_name = {column.name: column for column in found}
    missing = [name for name in properties if name not in by_name]
    if missing:
        raise PermanentError(f"{len(missing)} of the properties named are on no event of this name: {missing}.")
    return [by_name[name] for name in properties]


def _values(columns: list[Column], taken: Iterable[str]) -> list[str]:
    names = unique_names([column.name for column in columns], taken=taken)
    return [
        f"{column.sql(f'p{number}.value')} AS {quoted(names[column.name])}"
        for number, column in enumerate(columns, start=1)
    ]


def _create(engine: Engine, name: str, columns: list[str], tables: str) -> None:
    with autocommit(engine) as connection:
        execute(connection, VIEW.format(name=quoted(name), columns=", ".join(columns), tables=tables))
