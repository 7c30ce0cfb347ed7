"""A folder of the shape of a KissMetrics bucket: for tests, samples, and exports copied to disk."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.source.bucket import ObjectChangedError, StoredObject

CHUNK = 1024 * 1024


class FolderBucket:
    """A `Bucket` on disk. The ETag is made of the size and the modification time."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        if not folder.is_dir():
            raise PermanentError(
                f"KMDB_LOCAL_BUCKET is {str(folder)!r}, which is not a folder. Name the folder that holds `revisions/`."
            )
        self._folder = folder / prefix
        if not self._folder.is_dir():
            raise PermanentError(f"KMDB_PREFIX is {prefix!r}, and {str(folder)!r} has no such folder. Correct it.")

    @property
    def url(self) -> str:
        """The folder."""
        return str(self._folder)

    @property
    def location(self) -> str:
        """The folder's absolute path."""
        return str(self._folder.resolve())

    def objects(self, below: str = "") -> Iterator[StoredObject]:
        """Yield all files below the folder whose keys begin with ``below``."""
        for parent, _, names in self._walk():
            # Once for each folder: for each of 100,000 files it would take most of the time.
            inside = Path(parent).relative_to(self._folder).as_posix()
            for name in names:
                key = name if inside == "." else f"{inside}/{name}"
                found = self.find(key) if key.startswith(below) else None
                if found is not None:
                    yield found

    def find(self, key: str) -> StoredObject | None:
        """Return the file as it is now. None: there is no such file."""
        with self._translated(key):
            try:
                status = (self._folder / key).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return StoredObject(key, f"{status.st_size:x}-{status.st_mtime_ns:x}", status.st_size)

    def read(self, found: StoredObject) -> Iterator[bytes]:
        """Yield the bytes of the file. Raise `ObjectChangedError` if it was replaced before or during the read."""
        self._check(found)
        with self._translated(found.key), (self._folder / found.key).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
        self._check(found)

    def _check(self, found: StoredObject) -> None:
        if self.find(found.key) != found:
            raise ObjectChangedError(f"{self.url}/{found.key}")

    def _walk(self) -> Iterator[tuple[str, list[str], list[str]]]:
        def refuse(error: OSError) -> None:
            # By default, os.walk skips what it cannot read.
            raise error

        with self._translated(""):
            yield from os.walk(self._folder, onerror=refuse)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Raise errors of the disk as errors of this package. A file that disappears while it is read has changed."""
        place = f"{self.url}/{key}"
        try:
            yield
        except FileNotFoundError:
            raise ObjectChangedError(place) from None
        except PermissionError:
            raise PermanentError(f"{place} cannot be read: permission denied. Give this user read access.") from None
        except OSError as error:
            raise TransientError(f"{place} cannot be read ({error.strerror}).") from error
