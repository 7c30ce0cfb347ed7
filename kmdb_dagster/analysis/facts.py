"""Scopes of rows with a time, a name and a person: events and properties."""

from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any, Self, TypeVar

from sqlalchemy import ScalarSelect, and_, select
from sqlalchemy.orm import aliased

from kmdb_dagster.analysis.query import Query
from kmdb_dagster.warehouse.schema import tables

Moment = str | date | datetime
"""``"2014-01-31"``, ``"2014-01-31 12:30"``, a date or a time. Without a time zone, it is UTC."""

M = TypeVar("M")


class Timed(Query[M]):
    """Rows with a time. With bounds on the time, the server reads only the partitions in between."""

    def before(self, moment: Moment) -> Self:
        """Keep rows before this moment (exclusive)."""
        return self.where(self._model.t < utc(moment))

    def after(self, moment: Moment) -> Self:
        """Keep rows after this moment (exclusive, as in km-db)."""
        return self.where(self._model.t > utc(moment))

    def since(self, moment: Moment) -> Self:
        """Keep rows from this moment on (inclusive)."""
        return self.where(self._model.t >= utc(moment))

    def by_date(self) -> Self:
        """Sort by time, then by arrival."""
        return self.order_by(self._model.t, self._model.id)

    def latest_first(self) -> Self:
        """Sort by time and arrival, the latest first."""
        return self.order_by(self._model.t.desc(), self._model.id.desc())

    @property
    def _model(self) -> Any:  # noqa: ANN401 - each model class has the columns used here
        return self.model


class Facts(Timed[M]):
    """Rows with a time, a name and a person."""

    def named(self, name: str) -> Self:
        """Keep rows of this name, compared exactly."""
        return self.where(self._model.name_id() == key_id(name))

    def for_user(self, user: tables.User | str) -> Self:
        """Keep rows of the person that this user or identity belongs to."""
        return self.where(self._model.user_id == person_id(user))


class Events(Facts[M]):
    """Events, with scopes of their own."""

    def with_properties(self, *names: str, required: bool = False) -> Self:
        """Load these properties with the events: `Event.prop` needs no query then, and a frame has a column for each.

        Args:
            names: The properties. MySQL joins at most 61 tables.
            required: Exclude events without one of the properties.
        """
        query = self
        for name in names:
            query = query._joined(name, required=required)
        return query

    def _joined(self, name: str, *, required: bool) -> Self:
        property_ = aliased(tables.Property, name=f"p{len(self.values) + 1}")
        # Uses the index on key and t, in the one partition of the event's time.
        on = and_(property_.key == key_id(name), property_.t == self._model.t, property_.event_id == self._model.id)
        joined = self.select.join(property_, on, isouter=not required).add_columns(property_.value)
        return replace(self, select=joined, values=(*self.values, (name, property_.value)))


def utc(moment: Moment) -> datetime:
    """Convert a moment to a time as the tables store it: UTC, without a time zone.

    Raises:
        ValueError: The text is not a date or time of ISO 8601.
    """
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time())
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def key_id(name: str) -> ScalarSelect[int]:
    """Return a subquery for the id of an event's or a property's name."""
    return select(tables.Key.id).where(tables.Key.string == name).scalar_subquery()


def person_id(user: tables.User | str) -> ScalarSelect[int]:
    """Return a subquery for the id of the person that a user or an identity belongs to."""
    mapped = select(tables.UserMapping.user_id)
    if isinstance(user, tables.User):
        return mapped.where(tables.UserMapping.identity_id == user.id).scalar_subquery()
    joined = mapped.join(tables.User, tables.User.id == tables.UserMapping.identity_id)
    return joined.where(tables.User.name == user).scalar_subquery()
