"""Find revisions under KM's keys also where a copy of the export uses other keys: ``N.json.gz``, or a flat folder."""

from collections.abc import Iterator
from functools import cached_property

from kmdb_dagster.km_export.layout import FOLDER, is_flat, parse_revision, revision_keys
from kmdb_dagster.source import Bucket, StoredObject


class ExportBucket:
    """A `Bucket` that finds a revision under KM's key, whatever key the copy uses."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @property
    def url(self) -> str:
        """The URL of the bucket."""
        return self._bucket.url

    @property
    def location(self) -> str:
        """The location of the bucket."""
        return self._bucket.location

    def objects(self, below: str = "") -> Iterator[StoredObject]:
        """Yield all objects under their own keys, in no promised order."""
        return self._bucket.objects(below)

    def find(self, key: str) -> StoredObject | None:
        """Return the object as it is now. For KM's key of a revision: the revision under whatever key it has."""
        number = parse_revision(key)
        if number is None:
            return self._bucket.find(key)
        return self._first(revision_keys(number, is_flat=False)) or (
            self._first(revision_keys(number, is_flat=True)) if self._is_flat else None
        )

    def read(self, found: StoredObject) -> Iterator[bytes]:
        """Yield the bytes of exactly this object."""
        return self._bucket.read(found)

    @cached_property
    def _is_flat(self) -> bool:
        # A listing. It is needed only when a revision is not under KM's key.
        return is_flat(found.key for found in self._bucket.objects(FOLDER))

    def _first(self, keys: tuple[str, ...]) -> StoredObject | None:
        found = (self._bucket.find(key) for key in keys)
        return next((one for one in found if one is not None), None)
