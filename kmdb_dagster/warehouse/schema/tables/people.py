"""Identities, alias lines, the user map, and what identity resolution remembers."""

from datetime import datetime

from sqlalchemy import BINARY, BigInteger, DateTime, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from kmdb_dagster.warehouse.schema.tables.base import Base


class User(Base):
    """An identity as KM wrote it."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(BINARY(32))


class Alias(Base):
    """An alias line: two identities of one person."""

    __tablename__ = "aliases"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    t: Mapped[datetime] = mapped_column(DateTime, primary_key=True)
    name1: Mapped[str] = mapped_column(Text)
    name2: Mapped[str] = mapped_column(Text)
    identity1_id: Mapped[int]
    identity2_id: Mapped[int]


class UserMapping(Base):
    """The dealiased user map: one row for each identity, naming its person."""

    __tablename__ = "user_map"

    identity_id: Mapped[int] = mapped_column(primary_key=True, doc="`users.id` of an identity.")
    user_id: Mapped[int] = mapped_column(doc="The person: `users.id` of the canonical identity.")


class PlaceholderIdentity(Base):
    """An identity that no person has: its alias lines connect nothing, once `kmdb realias` has put that in force."""

    __tablename__ = "placeholder_identities"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)


class ResolvedRevision(Base):
    """Which file of a revision its names and aliases were stored from. No row: none."""

    __tablename__ = "resolved_revisions"

    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    etag: Mapped[str | None] = mapped_column(Text)
    """None: KM never wrote this number, or the revision was resolved before ETags were recorded."""
    t_min: Mapped[datetime | None]
    """Its alias lines have this time, or a later one; None: it has no alias lines."""
    t_max: Mapped[datetime | None]
    """Its alias lines have this time, or an earlier one; after an erasure the span may be wider than needed."""


class PendingMove(Base):
    """Facts of this identity that still carry a previous person id."""

    __tablename__ = "pending_moves"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    identity_id: Mapped[int]
    from_user_id: Mapped[int]
    t_min: Mapped[datetime]
    """The facts are of this time or later,"""
    t_max: Mapped[datetime]
    """and of this time or earlier."""


class PendingSpan(Base):
    """A span of time in which facts of this table may still carry a previous person id."""

    __tablename__ = "pending_spans"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    table_name: Mapped[str] = mapped_column(Text)
    t_min: Mapped[datetime]
    t_max: Mapped[datetime]


class IdentitySpan(Base):
    """When the facts of an identity are: from its first week to its last, perhaps less. No row: it has none."""

    __tablename__ = "identity_spans"

    identity_id: Mapped[int] = mapped_column(primary_key=True)
    first_week: Mapped[int]
    """Whole weeks since 1970-01-01, a Thursday."""
    last_week: Mapped[int]


class MapState(Base):
    """One row. Its lock is the lock on the user map: see `warehouse.identity.map_lock`."""

    __tablename__ = "map_state"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    """Counts the transactions that gave an identity another person."""
    numeric_apart: Mapped[bool]
    """The rule in force: whether two numeric identities are never one person."""
    placeholders: Mapped[str | None] = mapped_column(Text)
    """The rule in force: a JSON list of the names whose alias lines connect nothing."""
    ignored: Mapped[str | None] = mapped_column(Text)
    """The rule in force: a JSON list of digests of ignored identities, whose alias lines connect nothing."""
