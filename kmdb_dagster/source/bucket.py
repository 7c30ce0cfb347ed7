"""The interface of a bucket. Types only."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from kmdb_dagster.errors import PermanentError, TransientError


class StoredObject(NamedTuple):
    """An object as it was seen: ``etag`` changes when its content does; ``size`` is in bytes."""

    key: str
    etag: str
    size: int


class ObjectChangedError(TransientError):
    """The object was replaced or vanished while it was read. To read it anew is right."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place} changed while it was read. It will be read again from its start.")


class ObjectDamagedError(TransientError):
    """The bytes that arrived do not match the checksum of the object. Read it again from byte 0."""

    def __init__(self, place: str, checksum: str) -> None:
        super().__init__(f"{place}: the bytes that arrived do not match its {checksum}.")


class ObjectUnreadableError(PermanentError):
    """The object exists and cannot be read. Other objects of the bucket can."""


class BucketUnusableError(PermanentError):
    """No object of the bucket can be read until the configuration changes."""


def plain_etag(text: str) -> str:
    """Return an ETag without quotes. A weak ETag (``W/"…"``) equals its strong form."""
    return text.strip().removeprefix("W/").strip('"')


class Bucket(Protocol):
    """Read-only access to a KissMetrics export.

    Every method raises `PermanentError` for what only a person can fix (no such bucket, access denied) and
    `TransientError` for what passes by itself. `BucketUnusableError` concerns all objects,
    `ObjectUnreadableError` and other permanent errors concern one.
    """

    @property
    def url(self) -> str:
        """The bucket's name for people: ``s3://name`` or a folder."""

    @property
    def location(self) -> str:
        """Where the bucket is, so that no other one has the same: its URL, with an endpoint that is not Amazon's."""

    def objects(self, below: str = "") -> Iterator[StoredObject]:
        """All objects whose keys begin with ``below``, in no promised order."""

    def find(self, key: str) -> StoredObject | None:
        """The object as it is now, or None if there is none."""

    def read(self, found: StoredObject) -> Iterator[bytes]:
        """The bytes of exactly this object.

        Raises:
            ObjectChangedError: it has another ETag by now.
            ObjectDamagedError: all bytes have been yielded, and they do not match the object's checksum.
        """
