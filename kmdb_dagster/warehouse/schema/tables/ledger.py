"""The ledger, dead letters, and what changed since it was imported or copied."""

from datetime import date, datetime
from typing import TypeAlias

from sqlalchemy import BINARY, BigInteger, Integer, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from kmdb_dagster.warehouse.schema.tables.base import Base

Digest: TypeAlias = bytes
"""A SHA-256."""


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


class RejectedLine(Base):
    """A line that could not be imported, as it was, and why."""

    __tablename__ = "rejected_lines"

    revision: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    raw: Mapped[bytes] = mapped_column(LargeBinary)


class ChangedRevision(Base):
    """A revision whose imported file was replaced in the bucket, or is missing there, at the last bucket scan."""

    __tablename__ = "changed_revisions"

    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    etag: Mapped[str | None] = mapped_column(Text)
    """Of the file in the bucket; None: it is missing."""
    seen_at: Mapped[datetime]
    """When a bucket scan first saw that."""


class ChangedDay(Base):
    """What changed, and the columnar copy does not have yet (`warehouse.ledger.changed_days`)."""

    __tablename__ = "changed_days"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    day: Mapped[date | None]
    """A day whose facts changed."""
    identity_id: Mapped[int | None]
    """An identity that got another person, or was erased. None, without a day: any name may have changed."""


class ColumnarCopy(Base):
    """One row: which folder holds the columnar copy of the facts. No row: there is no copy."""

    __tablename__ = "columnar_copy"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    folder_id: Mapped[bytes] = mapped_column(BINARY(16))
    """Of ``data_folders``."""
    manifest_id: Mapped[bytes | None] = mapped_column(BINARY(16))
    """Of the manifest whose changed days were deleted here. None: the copy was never complete."""
