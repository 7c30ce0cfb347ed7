"""What imports exclude: filters, and erased identities."""

from datetime import datetime

from sqlalchemy import BINARY, Text
from sqlalchemy.orm import Mapped, mapped_column

from kmdb_dagster.warehouse.schema.tables.base import Base


class IgnoredUser(Base):
    """An identity whose events and properties are filtered, and whose alias lines connect nothing."""

    __tablename__ = "ignored_users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)


class WhitelistedEvent(Base):
    """An event name that is imported. Empty table: all are."""

    __tablename__ = "whitelisted_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)


class BlacklistedProperty(Base):
    """A property name that is filtered."""

    __tablename__ = "blacklisted_properties"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)


class ForgottenIdentity(Base):
    """The digest of an erased identity, which is never imported again: see `erasure.tables`."""

    __tablename__ = "forgotten_identities"

    digest: Mapped[bytes] = mapped_column(BINARY(32), primary_key=True)
    asked_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    """None: the erasure is not complete."""
