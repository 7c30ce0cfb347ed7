"""A folder of the shape of a KissMetrics bucket: for tests, samples, and buckets copied to disk."""

import os
from collections.abc import Iterator
from pathlib import Path

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.source.bucket import ObjectChangedError, StoredObject

CHUNK = 1024 * 1024


class FolderBucket:
    """A `Bucket` on disk. The ETag is made of size and time of change."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise PermanentError(
                f"KMDB_LOCAL_BUCKET is {str(folder)!r}, which is not a folder. Name the folder that holds `revisions/`."
            )
        self._folder = folder

    @property
    def url(self) -> str:
        """The folder."""
        return str(self._folder)

    def objects(self) -> Iterator[StoredObject]:
        """All files below the folder."""
        for parent, _, names in os.walk(self._folder):
            for name in names:
                found = self.find((Path(parent) / name).relative_to(self._folder).as_posix())
                if found is not None:
                    yield found

    def find(self, key: str) -> StoredObject | None:
        """The file as it is now."""
        try:
            stat = (self._folder / key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return StoredObject(key, f"{stat.st_size:x}-{stat.st_mtime_ns:x}", stat.st_size)

    def read(self, found: StoredObject) -> Iterator[bytes]:
        """The bytes of the file, if it is the same before and after."""
        self._check(found)
        try:
            with (self._folder / found.key).open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except PermissionError:
            raise PermanentError(f"{self.url}/{found.key} may not be read. Give this user the right to.") from None
        self._check(found)

    def _check(self, found: StoredObject) -> None:
        if self.find(found.key) != found:
            raise ObjectChangedError(f"{self.url}/{found.key}")
