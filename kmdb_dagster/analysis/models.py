"""The model classes: km-db's, with its names. Each is the warehouse's table, and what can be asked of a row.

A `User` is an identity as KissMetrics wrote it. One of a person's identities stands for the person: that is whom
`User.find` finds, and what ``user_id`` of events and properties means. Whatever is asked of a `User` is about the
person, whichever of its identities the user is.
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


def _string_of(key: InstrumentedAttribute[int]) -> Any:  # noqa: ANN401 - declared as Mapped[str] where it is used
    named = select(tables.Key.string).where(tables.Key.id == key).correlate_except(tables.Key)
    return column_property(named.scalar_subquery().label("name"))


class Event(tables.Event):
    """Something that a person did."""

    name: Mapped[str] = _string_of(tables.Event.n)
    loaded = NOTHING
    """The properties that came with it (`with_properties`)."""

    @classmethod
    def name_id(cls) -> InstrumentedAttribute[int]:
        """The column that `named` is about."""
        return cls.n

    @classmethod
    def all(cls) -> Events[Self]:
        """All events, to add scopes to."""
        return Events.of(cls)

    @classmethod
    def named(cls, name: str) -> Events[Self]:
        """Events of this name, exactly."""
        return cls.all().named(name)

    @classmethod
    def before(cls, moment: Moment) -> Events[Self]:
        """Events earlier than this."""
        return cls.all().before(moment)

    @classmethod
    def after(cls, moment: Moment) -> Events[Self]:
        """Events later than this, as in km-db: what happened at this very second is out."""
        return cls.all().after(moment)

    @classmethod
    def since(cls, moment: Moment) -> Events[Self]:
        """Events at this, or later."""
        return cls.all().since(moment)

    @classmethod
    def for_user(cls, user: tables.User | str) -> Events[Self]:
        """Events of the person that this user, or this identity, belongs to."""
        return cls.all().for_user(user)

    @property
    def user(self) -> "User":
        """The person."""
        return _by_id(User, self.user_id)

    @property
    def properties(self) -> Facts["Property"]:
        """Its properties."""
        # With the time, so that one partition is read.
        return Property.all().where(Property.event_id == self.id, Property.t == self.t)

    def prop(self, name: str) -> str | None:
        """The value of a property; None also if it has none of that name."""
        if name in self.loaded:
            return self.loaded[name]
        found = self.properties.named(name).first()
        return found.value if found else None

    def props(self) -> dict[str, str | None]:
        """Its properties as a dict, in their order on the line."""
        return {found.name: found.value for found in self.properties.by_date()}


class Property(tables.Property):
    """A value that an event or a person was given."""

    name: Mapped[str] = _string_of(tables.Property.key)

    @classmethod
    def name_id(cls) -> InstrumentedAttribute[int]:
        """The column that `named` is about."""
        return cls.key

    @classmethod
    def all(cls) -> Facts[Self]:
        """All properties, to add scopes to."""
        return Facts.of(cls)

    @classmethod
    def named(cls, name: str) -> Facts[Self]:
        """Properties of this name, exactly."""
        return cls.all().named(name)

    @classmethod
    def for_user(cls, user: tables.User | str) -> Facts[Self]:
        """Properties of the person that this user, or this identity, belongs to."""
        return cls.all().for_user(user)

    @property
    def user(self) -> "User":
        """The person."""
        return _by_id(User, self.user_id)

    @property
    def event(self) -> Event | None:
        """The event that it came with; None if it was set on the person."""
        return Event.all().where(Event.id == self.event_id, Event.t == self.t).first()


class User(tables.User):
    """An identity. What is asked of it is about the person that it belongs to."""

    @classmethod
    def all(cls) -> Query[Self]:
        """All identities."""
        return Query.of(cls)

    @classmethod
    def named(cls, name: str) -> Query[Self]:
        """The identity of this name, exactly, whoever stands for its person."""
        return cls.all().where(cls.name == name)

    @classmethod
    def find(cls, name: str) -> Self:
        """The person that has this identity, by way of the user map (km-db's ``User.get``).

        Raises:
            PermanentError: no line that was imported has this identity.
        """
        return _found(cls.all().where(cls.id == person_id(name)), "No person has this identity.")

    @property
    def person(self) -> Self:
        """The identity that stands for the person."""
        return _found(type(self).all().where(User.id == person_id(self)), "The user map does not know this identity.")

    @property
    def identities(self) -> Query[Self]:
        """All identities of the person, this one among them, as they came."""
        same = select(tables.UserMapping.identity_id).where(tables.UserMapping.user_id == person_id(self))
        return type(self).all().where(User.id.in_(same)).order_by(User.id)

    @property
    def aliases(self) -> Timed["Alias"]:
        """The alias lines that tie the person's identities."""
        same = select(tables.UserMapping.identity_id).where(tables.UserMapping.user_id == person_id(self))
        return Alias.all().where(Alias.identity1_id.in_(same))

    @property
    def events(self) -> Events[Event]:
        """What the person did."""
        return Event.for_user(self)

    @property
    def properties(self) -> Facts[Property]:
        """Every value that the person and the person's events were given."""
        return Property.for_user(self)

    def prop(self, name: str) -> str | None:
        """The latest value of a property of the person, or of any of the person's events."""
        latest = self.properties.named(name).latest_first().first()
        return latest.value if latest else None


class Key(tables.Key):
    """The name of an event or a property."""

    @classmethod
    def all(cls) -> Query[Self]:
        """All names."""
        return Query.of(cls)

    @classmethod
    def get(cls, string: str) -> int:
        """The id of a name, which ``events.n`` and ``properties.key`` have. Unlike km-db's, it makes no new one.

        Raises:
            PermanentError: no event or property has this name.
        """
        return _found(cls.all().where(cls.string == string), "No event or property has this name.").id

    @property
    def events(self) -> Events[Event]:
        """The events of this name."""
        return Event.named(self.string)

    @property
    def properties(self) -> Facts[Property]:
        """The properties of this name."""
        return Property.named(self.string)


class Alias(tables.Alias):
    """A line that ties two identities."""

    @classmethod
    def all(cls) -> Timed[Self]:
        """All alias lines, to add scopes to."""
        return Timed.of(cls)


M = TypeVar("M")


def _found(query: Query[M], otherwise: str) -> M:
    found = query.first()
    if found is None:
        raise PermanentError(otherwise)
    return found


def _by_id(model: type[User], number: int) -> User:
    return _found(model.all().where(model.id == number), "The table `users` lacks this person.")
