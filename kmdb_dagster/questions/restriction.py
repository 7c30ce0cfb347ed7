"""Apply a segment to a slice: load what its conditions are about, so that each later table holds its people only."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import ColumnElement, SQLColumnExpression, case, literal_column, select, true

from kmdb_dagster.digest import digest
from kmdb_dagster.questions.people_list import read_cohort
from kmdb_dagster.questions.segment import Condition, Segment
from kmdb_dagster.questions.slices import Slice, in_span
from kmdb_dagster.questions.span import EPOCH
from kmdb_dagster.questions.sql_functions import contains_text, number_of, seconds_of
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.interning.lookup import PERSONS, select_by_digest
from kmdb_dagster.warehouse.interning.name_kinds import EVENT, PROPERTY
from kmdb_dagster.warehouse.schema.tables import Event, Property


def restrict(slice_: Slice, segment: Segment) -> None:
    """Restrict all tables that are loaded from now on to the people and the events of a segment.

    Raises:
        PermanentError: A name is not that of an event or a property, or a file cannot be read.
    """
    for number, (event, condition) in enumerate(segment.where_event):
        _restrict_event(slice_, f"matching{number}", event, condition)
    for number, file in enumerate(segment.in_cohort):
        _restrict_to_file(slice_, f"cohort{number}", file)
    for number, event in enumerate(segment.did):
        _restrict_by_event(slice_, f"did{number}", event, "IN")
    for number, event in enumerate(segment.did_not):
        _restrict_by_event(slice_, f"did_not{number}", event, "NOT IN")
    for number, condition in enumerate(segment.where):
        _restrict_by_value(slice_, f"where{number}", condition)


def positive_sql(condition: Condition, value: SQLColumnExpression[Any]) -> ColumnElement[bool]:
    """Return the SQL of a condition on a value that is not NULL; of a negated condition, that of its opposite."""
    match condition.operator:
        case "=" | "!=":
            return value == condition.value
        case "contains":
            return contains_text(value, condition.value)
        case "is set" | "is not set":
            return true()
        case _:
            wanted: ColumnElement[float] = literal_column(repr(float(condition.value)))
            return number_of(value).op(condition.operator, is_comparison=True)(wanted)


def _restrict_event(slice_: Slice, table: str, event: str, condition: Condition) -> None:
    (name,), key = slice_.event_ids([event]), slice_.property_id(condition.name)
    values = select(Property.event_id.label("event")).where(
        Property.event_id.is_not(None), Property.value.is_not(None), positive_sql(condition, Property.value)
    )
    slice_.take(table, slice_.bound(values, PROPERTY, [key]))
    is_in = "NOT IN" if condition.is_negated else "IN"
    slice_.event_conditions.append(f"name <> {name} OR id {is_in} (SELECT event FROM {table})")


def _restrict_by_event(slice_: Slice, table: str, event: str, is_in: str) -> None:
    events = select(Event.user_id.label("person"), Event.id, Event.n.label("name"))
    slice_.take(table, slice_.bound(events, EVENT, slice_.event_ids([event]), slice_.span.until))
    slice_.person_conditions.append(f"person {is_in} (SELECT person FROM {table})")


def _restrict_by_value(slice_: Slice, table: str, condition: Condition) -> None:
    key = slice_.property_id(condition.name, since=EPOCH)
    holds = case((positive_sql(condition, Property.value), 1), else_=0)
    t = seconds_of(Property.t).label("t")
    values = select(Property.user_id.label("person"), t, Property.id, holds.label("holds"))
    values = values.where(
        Property.key == key, Property.value.is_not(None), *in_span(Property.t, EPOCH, slice_.span.until)
    )
    slice_.take(table, values)
    is_in = "NOT IN" if condition.is_negated else "IN"
    latest = f"SELECT person FROM {table} GROUP BY person HAVING max_by(holds, (t, id)) = 1"
    slice_.duck.execute(f"CREATE TABLE {table}_people AS {latest}")
    slice_.person_conditions.append(f"person {is_in} (SELECT person FROM {table}_people)")


def _restrict_to_file(slice_: Slice, table: str, file: Path) -> None:
    forms = [list(map(digest, of)) for of in read_cohort(file)]
    with transaction(slice_.engine) as connection:
        digests = {form for line in forms for form in line}
        # The copy has its own map: its people may have been merged since.
        column = 1 if slice_.copy else 2
        people = {bytes(row[0]): row[column] for row in select_by_digest(connection, PERSONS, digests) if row[2]}
    found = [next((people[form] for form in line if form in people), None) for line in forms]
    slice_.put(table, pa.table({"person": pa.array(_without_none(found), pa.int64())}))
    if slice_.copy:
        slice_.copy.map_to_people(slice_.duck, table)
    slice_.person_conditions.append(f"person IN (SELECT person FROM {table})")
    if missing := found.count(None):
        slice_.note(f"{missing:,} of {len(found):,} identities of {file.name} are not in the database.")


def _without_none(found: Collection[int | None]) -> list[int]:
    return [person for person in found if person is not None]
