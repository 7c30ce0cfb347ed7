"""The facts, and the names of events and properties."""

from datetime import datetime

from sqlalchemy import BINARY, BigInteger, DateTime, Text
from sqlalchemy.orm import Mapped, mapped_column

from kmdb_dagster.warehouse.schema.tables.base import Base


class Event(Base):
    """Something that a person did."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, doc="Revision and line of the export.")
    t: Mapped[datetime] = mapped_column(DateTime, primary_key=True, doc="When it happened, UTC.")
    n: Mapped[int] = mapped_column(doc="`keys.id` of the event's name.")
    user_id: Mapped[int] = mapped_column(doc="The person: `users.id` of the canonical identity.")
    identity_id: Mapped[int] = mapped_column(doc="`users.id` of the identity as KM wrote it.")


class Property(Base):
    """A value that an event or a person was given."""

    __tablename__ = "properties"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, doc="The id of its line, plus its position on it.")
    t: Mapped[datetime] = mapped_column(DateTime, primary_key=True, doc="When it was set, UTC.")
    key: Mapped[int] = mapped_column(doc="`keys.id` of the property's name.")
    value: Mapped[str | None] = mapped_column(Text, doc="Whole, never cut.")
    user_id: Mapped[int] = mapped_column(doc="The person: `users.id` of the canonical identity.")
    event_id: Mapped[int | None] = mapped_column(BigInteger, doc="`events.id`; NULL for a property set on the person.")
    identity_id: Mapped[int] = mapped_column(doc="`users.id` of the identity as KM wrote it.")


class Key(Base):
    """The name of an event or a property, stored once."""

    __tablename__ = "keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    string: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(BINARY(32))
    """SHA-256 of the string as UTF-8: ``UNHEX(SHA2('signed up', 256))``."""
