"""The tables as classes: what each column means. They are made by the migrations, not from here.

Times are UTC. Text is utf8mb4 and compared exactly. Names without ``+`` in docs/reference/tables.md are km-db's.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import TypeAlias

from sqlalchemy import BINARY, BigInteger, DateTime, Integer, LargeBinary, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Digest: TypeAlias = bytes
"""A SHA-256."""

FACTS = ("events", "properties")
"""The tables of facts, which are replaced, moved and dropped alike."""

LINE_BITS = 24
ORDINAL_BITS = 16
MAX_LINE = 2**LINE_BITS - 1
MAX_ORDINAL = 2**ORDINAL_BITS - 1


def row_id(revision: int, line: int, ordinal: int = 0) -> int:
    """Return the id of a row: a function of its place in the export, so that loading again gives the same rows.

    Args:
        revision: the number of the revision.
        line: the number of the line, from 1.
        ordinal: 0 for the event or alias of the line, 1, 2, … for its properties in their order.
    """
    return (revision << LINE_BITS | line) << ORDINAL_BITS | ordinal


def id_range(revision: int) -> dict[str, int]:
    """The ``first`` and ``last`` id that a row of a revision can have."""
    return {"first": row_id(revision, 0), "last": row_id(revision + 1, 0) - 1}


def id_ranges(revisions: Iterable[int]) -> str:
    """The condition in SQL that an ``id`` is of one of these revisions. Consecutive revisions are one range."""
    ranges: list[tuple[int, int]] = []
    for revision in sorted(set(revisions)):
        first = ranges.pop()[0] if ranges and ranges[-1][1] == revision - 1 else revision
        ranges.append((first, revision))
    between = (f"id BETWEEN {row_id(first, 0)} AND {row_id(last + 1, 0) - 1}" for first, last in ranges)
    return f"({' OR '.join(between) or 'FALSE'})"


class Base(DeclarativeBase):
    """The root of the classes."""


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


class UserMapping(Base):
    """The dealiased user map: one row for each identity, naming its person."""

    __tablename__ = "user_map"

    identity_id: Mapped[int] = mapped_column(primary_key=True, doc="`users.id` of an identity.")
    user_id: Mapped[int] = mapped_column(doc="The person: `users.id` of the canonical identity.")


class PendingMove(Base):
    """Facts of this identity that still carry a previous person id."""

    __tablename__ = "pending_moves"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    identity_id: Mapped[int]
    from_user_id: Mapped[int]
    t_min: Mapped[datetime]
    """The facts that it is about are of this time, or later,"""
    t_max: Mapped[datetime]
    """and of this, or earlier."""


class PendingSpan(Base):
    """Facts of this table and of this span of time may stand under any person: they are still to be looked through."""

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


class Revision(Base):
    """The ledger: imported revisions and the outcomes of their lines."""

    __tablename__ = "revisions"

    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    etag: Mapped[str | None] = mapped_column(Text)
    """None: KM never wrote this number."""
    bytes: Mapped[int] = mapped_column(BigInteger)
    lines: Mapped[int]
    imported: Mapped[int]
    """Lines with at least one record in the database."""
    ignored: Mapped[int]
    """Lines whose records were all filtered."""
    blank: Mapped[int]
    rejected: Mapped[int]
    events: Mapped[int]
    property_sets: Mapped[int]
    properties: Mapped[int]
    aliases: Mapped[int]
    t_min: Mapped[datetime | None]
    t_max: Mapped[datetime | None]
    imported_at: Mapped[datetime | None]
    """None: not imported (yet)."""
    filters: Mapped[Digest | None] = mapped_column(BINARY(32))
    """The digest of the filters that it was loaded with (`warehouse.loading.filters`). None: not recorded."""
    error: Mapped[str | None] = mapped_column(Text)
    """Why the last attempt failed; None once one went well."""
    failed_at: Mapped[datetime | None]


class ChangedRevision(Base):
    """A revision whose imported file was replaced in the bucket, or is missing there, at the last bucket scan."""

    __tablename__ = "changed_revisions"

    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    etag: Mapped[str | None] = mapped_column(Text)
    """Of the file in the bucket; None: it is missing."""
    seen_at: Mapped[datetime]
    """When a bucket scan first saw that."""


class ChangedDay(Base):
    """A day whose facts changed, and which the columnar copy does not have yet (`warehouse.ledger.changed_days`)."""

    __tablename__ = "changed_days"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    day: Mapped[date | None]
    """None: names or the user map changed."""


class ColumnarCopy(Base):
    """One row: which folder holds the columnar copy of the facts. No row: there is no copy."""

    __tablename__ = "columnar_copy"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    folder_id: Mapped[bytes] = mapped_column(BINARY(16))
    """Of ``data_folders``."""
    manifest_id: Mapped[bytes | None] = mapped_column(BINARY(16))
    """Of the manifest whose changed days were deleted here. None: the copy was never complete."""


class RejectedLine(Base):
    """A line that could not be imported, as it was, and why."""

    __tablename__ = "rejected_lines"

    revision: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    raw: Mapped[bytes] = mapped_column(LargeBinary)


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
    """None: something may still be there of it."""


class Binding(Base):
    """One row: what this database is, and which bucket it belongs to. See `warehouse.connection.bindings`."""

    __tablename__ = "bindings"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    database_id: Mapped[bytes] = mapped_column(BINARY(16))
    """A random number, which the data folders of this database hold, too."""
    created_at: Mapped[datetime]
    """Since then ``data_folders`` has every folder to which Parquet is written."""
    folders_confirmed: Mapped[bool]
    """`kmdb confirm data-dir` was run, so ``data_folders`` has the folders from before as well."""
    bucket: Mapped[str | None] = mapped_column(Text)
    """Where the export is: ``s3://name``, or a folder. None: nothing was imported yet."""
    bucket_bound_at: Mapped[datetime | None]


class DataFolder(Base):
    """A folder that holds raw files and Parquet of this database."""

    __tablename__ = "data_folders"

    id: Mapped[bytes] = mapped_column(BINARY(16), primary_key=True)
    host: Mapped[str] = mapped_column(Text)
    """The machine that used it last."""
    path: Mapped[str] = mapped_column(Text)
    used_at: Mapped[datetime]


class SearchedFolder(Base):
    """A data folder that was searched for an identity whose erasure is not complete yet."""

    __tablename__ = "searched_folders"

    digest: Mapped[bytes] = mapped_column(BINARY(32), primary_key=True)
    folder_id: Mapped[bytes] = mapped_column(BINARY(16), primary_key=True)


class PlaceholderIdentity(Base):
    """An identity that no person has: its alias lines connect nothing, once `kmdb realias` has put that in force."""

    __tablename__ = "placeholder_identities"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)


class WarehouseState(Base):
    """One row. Its lock keeps ids in force: see `warehouse.identity.map_lock`."""

    __tablename__ = "warehouse_state"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    generation: Mapped[str] = mapped_column(Text)
    """Changes with every flush: ids handed out before it mean nothing any more."""
    facts_from: Mapped[datetime | None]
    """Facts before it were dropped, and are not loaded again. None: all are kept."""


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
