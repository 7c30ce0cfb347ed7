"""Views for BI tools: one row for each event or person, one column for each property.

A view can be replaced at any time. It refers to names, not to ids, so it survives `kmdb flush`. docs/decisions/0021
explains why it consists of joins.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Engine

from kmdb_dagster.analysis.columns import Column, event_columns, execute, key_id, person_columns, quoted
from kmdb_dagster.analysis.names import MAX_NAME_CHARACTERS, unique_names, with_digest
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.connection.server import autocommit
from kmdb_dagster.warehouse.interning.name_kinds import EVENT, PROPERTY, key_of

MAX_PROPERTIES = 55
"""MySQL joins at most 61 tables: this leaves room to join the view with others."""
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
    """An existing view: its name and its number of columns."""

    name: str
    columns: int


class CreatedView(NamedTuple):
    """A view that was created or replaced."""

    name: str
    columns: list[Column]
    excluded: int
    """Number of properties beyond `MAX_PROPERTIES`: the least frequent ones."""


def create_event_view(engine: Engine, event: str, properties: Iterable[str] = ()) -> CreatedView:
    """Create or replace the view of an event: one row for each event, one column for each property.

    Args:
        engine: The warehouse.
        event: The event's name.
        properties: The properties that get a column; all if it is empty, up to `MAX_PROPERTIES`.

    Raises:
        PermanentError: No event has this name, or none has one of these properties.
    """
    with autocommit(engine) as connection:
        key_of(connection, EVENT, event)
        name = view_name(event, [str(row[0]) for row in execute(connection, "SELECT string FROM `keys`")])
        found = _chosen(event_columns(connection, event), tuple(properties))
        columns = found[:MAX_PROPERTIES]
        joins = [JOIN.format(p=f"p{n}", key=key_id(column.name)) for n, column in enumerate(columns, start=1)]
        tables = " ".join(["events e", *joins, f"WHERE e.n = {key_id(event)}"])
        own = ["e.id AS event_id", "e.t AS t", "e.user_id AS user_id", "e.identity_id AS identity_id"]
        _create(engine, name, [*own, *_values(columns, EVENT_COLUMNS)], tables)
    return CreatedView(name, columns, len(found) - len(columns))


def create_people_view(engine: Engine, properties: Iterable[str] = ()) -> CreatedView:
    """Create or replace the view of people: one row for each person, and the latest value of these properties.

    Raises:
        PermanentError: No property has one of these names, or there are more than `MAX_PROPERTIES`.
    """
    wanted = tuple(dict.fromkeys(properties))
    if len(wanted) > MAX_PROPERTIES:
        raise PermanentError(f"A view has up to {MAX_PROPERTIES} properties; these are {len(wanted)}. Name fewer.")
    with autocommit(engine) as connection:
        for name in wanted:
            key_of(connection, PROPERTY, name)
        columns = person_columns(connection, wanted)
    joins = [LATEST.format(p=f"p{n}", key=key_id(column.name)) for n, column in enumerate(columns, start=1)]
    own = ["m.user_id AS user_id", "u.name AS person", "m.identities AS identities"]
    own += ["COALESCE(e.events, 0) AS events", "e.first_seen AS first_seen", "e.last_seen AS last_seen"]
    _create(engine, PEOPLE, [*own, *_values(columns, PEOPLE_COLUMNS)], "\n".join([PERSONS, *joins]))
    return CreatedView(PEOPLE, columns, 0)


def list_views(engine: Engine) -> list[View]:
    """Return the views that `create_event_view` and `create_people_view` created, by name."""
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
        PermanentError: There is no such view.
    """
    if name not in {view.name for view in list_views(engine)}:
        raise PermanentError(f"There is no view {name!r} of kmdb. Run `kmdb view list`.")
    with autocommit(engine) as connection:
        execute(connection, f"DROP VIEW {quoted(name)}")


def view_name(event: str, names: Iterable[str]) -> str:
    """Choose the name of an event's view: ``event_signed_up``, with a digest if another event would share it.

    Args:
        event: The event's name.
        names: The names of all events.

    Raises:
        PermanentError: ``event`` is not one of them.
    """
    slugs = {name: PREFIX + re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") for name in names}
    if event not in slugs:
        raise PermanentError("No event has this name. Names are compared exactly; the table `keys` lists them.")
    slug = slugs[event]
    is_unique = list(slugs.values()).count(slug) == 1 and len(slug) <= MAX_NAME_CHARACTERS
    return slug if is_unique else with_digest(slug, event)


def _chosen(found: list[Column], properties: tuple[str, ...]) -> list[Column]:
    if not properties:
        return found
    by_name = {column.name: column for column in found}
    missing = [name for name in properties if name not in by_name]
    if missing:
        raise PermanentError(f"No event of this name has {len(missing)} of these properties: {missing}.")
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
