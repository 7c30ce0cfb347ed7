"""Labels: the values of a property by which people or events are grouped, as `Attribution` says, in DuckDB."""

from typing import TYPE_CHECKING

from sqlalchemy import Text, func, select

from kmdb_dagster.questions.attribution import Attribution
from kmdb_dagster.questions.conversions import Conversion
from kmdb_dagster.questions.groups import group_name
from kmdb_dagster.questions.slices import MAX_LABEL_CHARACTERS, Slice
from kmdb_dagster.questions.span import EPOCH, LATEST
from kmdb_dagster.questions.sql_functions import seconds_of
from kmdb_dagster.warehouse.interning.name_kinds import PROPERTY
from kmdb_dagster.warehouse.schema.row_ids import ORDINAL_BITS
from kmdb_dagster.warehouse.schema.tables import Property

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def take_labels(slice_: Slice, name: str | None, attribution: Attribution, start: int) -> None:
    """Create the table ``labels (person, t, id, label)``: the value by which each person is grouped.

    Args:
        slice_: With the table ``facts``.
        name: The property; None creates an empty table.
        attribution: Which of a person's values counts.
        start: The id of the event that the question starts with. Only people who did it are needed, and
            ``before`` means before their first one.
    """
    if name is None:
        slice_.duck.execute("CREATE TABLE labels (person BIGINT, t BIGINT, id BIGINT, label TEXT)")
        return
    take_values(slice_, name, attribution, people_with=start)
    pick_values(slice_.duck, attribution, starts=Conversion(start, None, 0, slice_.span.end).starts_sql())


def take_values(
    slice_: Slice,
    name: str,
    attribution: Attribution,
    table: str = "labels",
    *,
    people_with: int | None = None,
) -> None:
    """Load all values that an attribution may choose from, as the table ``all_`` + table: ``person, t, id, label``.

    Args:
        slice_: Receives the table.
        name: The property.
        attribution: Says whether values from outside of the span count.
        table: The table that `pick_values` will create.
        people_with: Only people who did this event in the slice are needed.
    """
    since = slice_.span.since if attribution.is_in_span else EPOCH
    until = LATEST if attribution.is_ever else slice_.span.until
    values = select(
        Property.user_id.label("person"),
        seconds_of(Property.t).label("t"),
        Property.id,
        func.left(Property.value, MAX_LABEL_CHARACTERS, type_=Text).label("label"),
    ).where(Property.value.is_not(None))
    bound = slice_.bound(values, PROPERTY, [slice_.property_id(name, since)], until, since)
    if people_with is not None and not attribution.is_in_span:
        bound = slice_.of_people_with(people_with, bound, Property.user_id)
    slice_.take(f"all_{table}", bound)


def pick_values(
    duck: "DuckDBPyConnection", attribution: Attribution, table: str = "labels", starts: str | None = None
) -> None:
    """Create a table ``(person, t, id, label)`` with one value of each person.

    Args:
        duck: A database with the table ``all_`` + table.
        attribution: Which value, of those in the table.
        table: The table to create.
        starts: A query for the people who count, and the event before which a value must be: ``person, t, id``.
            None: all people and values.
    """
    pick = "max" if attribution.is_last else "min"
    earlier = f"WHERE {is_before('v', 's')}" if attribution.is_before else ""
    of_starts = f"JOIN ({starts}) s USING (person) {earlier}" if starts else ""
    duck.execute(
        f"""
        CREATE TABLE {table} AS
        SELECT person, {pick}(v.t) AS t, {pick}_by(v.id, (v.t, v.id)) AS id,
            {group_name(f"{pick}_by(label, (v.t, v.id))")} AS label
        FROM all_{table} v {of_starts} GROUP BY person
        """
    )


def label_events(duck: "DuckDBPyConnection", attribution: Attribution) -> None:
    """Create the table ``hits``: the events of the table ``unlabelled (person, t, id, …)`` with their ``label``.

    Args:
        duck: A database with the tables ``unlabelled`` and ``all_labels``.
        attribution: Any but `Attribution.OWN`.
    """
    if attribution is Attribution.LAST_BEFORE:
        at_or_before = f"(e.t, {line_of('e')}) >= (v.t, {line_of('v')})"
        join, label = f"ASOF LEFT JOIN all_labels v ON e.person = v.person AND {at_or_before}", group_name("v.label")
    else:
        pick_values(duck, attribution)
        # The first value before an event is the first ever, unless that is later than the event.
        earlier = f"AND {is_before('v', 'e')}" if attribution.is_before else ""
        join, label = f"LEFT JOIN labels v ON e.person = v.person {earlier}", "v.label"
    duck.execute(f"CREATE TABLE hits AS SELECT e.*, {label} AS label FROM unlabelled e {join}")


def is_before(value: str, event: str) -> str:
    """Return an SQL condition: the value is earlier than the event, or in the same line."""
    return f"({value}.t, {line_of(value)}) <= ({event}.t, {line_of(event)})"


def line_of(fact: str) -> str:
    """Return an SQL expression for the line of a fact: an event and its own properties have the same."""
    return f"({fact}.id >> {ORDINAL_BITS})"
