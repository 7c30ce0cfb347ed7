"""The interface of a bucket. Types only."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from kmdb_dagster.errors import TransientError


class StoredObject(NamedTuple):
    """An object as it was seen: ``etag`` changes when its content does; ``size`` is in bytes."""

    key: str
    etag: str
    size: int


class ObjectChangedError(TransientError):
    """The object was replaced or vanished while it was read. To read it anew is right."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place} changed while it was read. It will be read again from its start.")


class Bucket(Protocol):
    """Read-only access to a KissMetrics export.

    Every method raises `PermanentError` for what only a person can mend (no such bucket, access denied) and
    `TransientError` for what passes by itself.
    """

    @property
    def url(self) -> str:
        """The bucket's name for people: ``s3://name`` or a folder."""

    def objects(self) -> Iterator[StoredObject]:
        """All objects, in no promised order."""

    def find(self, key: str) -> StoredObject | None:
        """The object as it is now, or None if there is none."""

    def read(self, found: StoredObject) -> Iterator[bytes]:
        """The bytes of exactly this object: if it has another ETag by now, `ObjectChangedError`."""
