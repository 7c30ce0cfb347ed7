"""The model classes, with km-db's names: each adds queries to a table of the warehouse.

A `User` is an identity as KissMetrics wrote it. One identity of a person is the canonical identity: `User.find` returns
it, and ``user_id`` of events and properties is its id. Events, properties and identities of a `User` are those of the
person, whichever identity the user is.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Mapped, column_property

from kmdb_dagster.analysis.facts import Events, Facts, Moment, Timed, person_id
from kmdb_dagster.analysis.query import Query
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.schema import tables

NOTHING: Mapping[str, str | None] = MappingProxyType({})


def _string_of(key: InstrumentedAttribute[int]) -> Any:  # noqa: ANN401 - declared as Mapped[str] in the classes
    named = select(tables.Key.string).where(tables.Key.id == key).correlate_except(tables.Key)
    return column_property(named.scalar_subquery().label("name"))


class Event(tables.Event):
    """An event: something that a person did, at a time."""

    name: Mapped[str] = _string_of(tables.Event.n)
    loaded = NOTHING
    """The properties loaded by `with_properties`."""

    @classmethod
    def name_id(cls) -> InstrumentedAttribute[int]:
        """Return the column that holds the id of the name."""
        return cls.n

    @classmethod
    def all(cls) -> Events[Self]:
        """Return a query of all events."""
        return Events.of(cls)

    @classmethod
    def named(cls, name: str) -> Events[Self]:
        """Return a query of the events of this name, compared exactly."""
        return cls.all().named(name)

    @classmethod
    def before(cls, moment: Moment) -> Events[Self]:
        """Return a query of the events before this moment (exclusive)."""
        return cls.all().before(moment)

    @classmethod
    def after(cls, moment: Moment) -> Events[Self]:
        """Return a query of the events after this moment (exclusive, as in km-db)."""
        return cls.all().after(moment)

    @classmethod
    def since(cls, moment: Moment) -> Events[Self]:
        """Return a query of the events from this moment on (inclusive)."""
        return cls.all().since(moment)

    @classmethod
    def for_user(cls, user: tables.User | str) -> Events[Self]:
        """Return a query of the events of the person that this user or identity belongs to."""
        return cls.all().for_user(user)

    @property
    def user(self) -> "User":
        """The canonical identity of the person."""
        return _by_id(User, self.user_id)

    @property
    def properties(self) -> Facts["Property"]:
        """A query of its properties."""
        # The time limits the query to one partition.
        return Property.all().where(Property.event_id == self.id, Property.t == self.t)

    def prop(self, name: str) -> str | None:
        """Return the value of a property; None if the event does not have it."""
        if name in self.loaded:
            return self.loaded[name]
        found = self.properties.named(name).first()
        return found.value if found else None

    def props(self) -> dict[str, str | None]:
        """Return its properties as a dict, in the order of the line."""
        return {found.name: found.value for found in self.properties.by_date()}


class Property(tables.Property):
    """A property: a name and a value, of an event or of a person."""

    name: Mapped[str] = _string_of(tables.Property.key)

    @classmethod
    def name_id(cls) -> InstrumentedAttribute[int]:
        """Return the column that holds the id of the name."""
        return cls.key

    @classmethod
    def all(cls) -> Facts[Self]:
        """Return a query of all properties."""
        return Facts.of(cls)

    @classmethod
    def named(cls, name: str) -> Facts[Self]:
        """Return a query of the properties of this name, compared exactly."""
        return cls.all().named(name)

    @classmethod
    def for_user(cls, user: tables.User | str) -> Facts[Self]:
        """Return a query of the properties of the person that this user or identity belongs to."""
        return cls.all().for_user(user)

    @property
    def user(self) -> "User":
        """The canonical identity of the person."""
        return _by_id(User, self.user_id)

    @property
    def event(self) -> Event | None:
        """The event that it belongs to; None if it was set on the person."""
        return Event.all().where(Event.id == self.event_id, Event.t == self.t).first()


class User(tables.User):
    """An identity. Its events, properties and identities are those of its person."""

    @classmethod
    def all(cls) -> Query[Self]:
        """Return a query of all identities."""
        return Query.of(cls)

    @classmethod
    def named(cls, name: str) -> Query[Self]:
        """Return a query of the identity of this name, compared exactly; it may not be canonical."""
        return cls.all().where(cls.name == name)

    @classmethod
    def find(cls, name: str) -> Self:
        """Return the canonical identity of the person with this identity (km-db's ``User.get``).

        Raises:
            PermanentError: No imported line has this identity.
        """
        return _found(cls.all().where(cls.id == person_id(name)), "No person has this identity.")

    @property
    def person(self) -> Self:
        """The canonical identity of the person."""
        return _found(
            type(self).all().where(User.id == person_id(self)),
            "The table `user_map` lacks this identity. Run `kmdb realias`.",
        )

    @property
    def identities(self) -> Query[Self]:
        """A query of all identities of the person, including this one, in the order of their import."""
        same = select(tables.UserMapping.identity_id).where(tables.UserMapping.user_id == person_id(self))
        return type(self).all().where(User.id.in_(same)).order_by(User.id)

    @property
    def aliases(self) -> Timed["Alias"]:
        """A query of the alias lines that connect the person's identities."""
        same = select(tables.UserMapping.identity_id).where(tables.UserMapping.user_id == person_id(self))
        return Alias.all().where(Alias.identity1_id.in_(same))

    @property
    def events(self) -> Events[Event]:
        """A query of the person's events."""
        return Event.for_user(self)

    @property
    def properties(self) -> Facts[Property]:
        """A query of the properties of the person and of the person's events."""
        return Property.for_user(self)

    def prop(self, name: str) -> str | None:
        """Return the latest value of a property of the person or of the person's events; None without one."""
        latest = self.properties.named(name).latest_first().first()
        return latest.value if latest else None


class Key(tables.Key):
    """The name of an event or a property."""

    @classmethod
    def all(cls) -> Query[Self]:
        """Return a query of all names."""
        return Query.of(cls)

    @classmethod
    def get(cls, string: str) -> int:
        """Return the id of a name, as in ``events.n`` and ``properties.key``. Unlike km-db, it creates none.

        Raises:
            PermanentError: No event or property has this name.
        """
        return _found(cls.all().where(cls.string == string), "No event or property has this name.").id

    @property
    def events(self) -> Events[Event]:
        """A query of the events of this name."""
        return Event.named(self.string)

    @property
    def properties(self) -> Facts[Property]:
        """A query of the properties of this name."""
        return Property.named(self.string)


class Alias(tables.Alias):
    """An alias line: it connects two identities."""

    @classmethod
    def all(cls) -> Timed[Self]:
        """Return a query of all alias lines."""
        return Timed.of(cls)


M = TypeVar("M")


def _found(query: Query[M], message: str) -> M:
    found = query.first()
    if found is None:
        raise PermanentError(message)
    return found


def _by_id(model: type[User], number: int) -> User:
    return _found(model.all().where(model.id == number), "The table `users` lacks this person.")
