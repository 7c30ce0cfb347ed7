"""The interface of a bucket, its objects and its errors."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from kmdb_dagster.errors import PermanentError, TransientError


class StoredObject(NamedTuple):
    """An object when it was found. ``etag`` changes with the content; ``size`` is in bytes."""

    key: str
    etag: str
    size: int


class ObjectChangedError(TransientError):
    """The object was replaced or deleted while it was read. Find it again, then read it from byte 0."""

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

    Every method raises `PermanentError` for what you must fix (no such bucket, access denied), and `TransientError`
    for what passes by itself. `BucketUnusableError` concerns all objects. `ObjectUnreadableError` and other permanent
    errors concern one object.
    """

    @property
    def url(self) -> str:
        """The bucket as text for messages: ``s3://name`` or a folder."""

    @property
    def location(self) -> str:
        """The unique location of the bucket: its URL, with the endpoint if that is not Amazon's."""

    def objects(self, below: str = "") -> Iterator[StoredObject]:
        """Yield all objects whose keys begin with ``below``, in no promised order."""

    def find(self, key: str) -> StoredObject | None:
        """Return the object as it is now. None: there is no such object."""

    def read(self, found: StoredObject) -> Iterator[bytes]:
        """Yield the bytes of exactly this object.

        Raises:
            ObjectChangedError: the object has another ETag now.
            ObjectDamagedError: raised after the last byte, if the bytes do not match the object's checksum.
        """
