"""A folder of the shape of a KissMetrics bucket: for tests, samples, and buckets copied to disk."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.source.bucket import ObjectChangedError, StoredObject

CHUNK = 1024 * 1024


class FolderBucket:
    """A `Bucket` on disk. The ETag is made of size and time of change."""

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
        """All files below the folder whose keys begin with ``below``."""
        for parent, _, names in self._walk():
            # Once for a folder: asked of each of 100,000 files, it would take longer than all else.
            inside = Path(parent).relative_to(self._folder).as_posix()
            for name in names:
                key = name if inside == "." else f"{inside}/{name}"
                found = self.find(key) if key.startswith(below) else None
                if found is not None:
                    yield found

    def find(self, key: str) -> StoredObject | None:
        """The file as it is now."""
        with self._translated(key):
            try:
                seen = (self._folder / key).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        if not stat.S_ISREG(seen.st_mode):
            return None
        return StoredObject(key, f"{seen.st_size:x}-{seen.st_mtime_ns:x}", seen.st_size)

    def read(self, found: StoredObject) -> Iterator[bytes]:
        """The bytes of the file, if it is the same before and after."""
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
            # By itself, os.walk leaves out what it cannot read.
            raise error

        with self._translated(""):
            yield from os.walk(self._folder, onerror=refuse)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Failures of the disk as our own. What vanishes while it is read was changed."""
        place = f"{self.url}/{key}"
        try:
            yield
        except FileNotFoundError:
            raise ObjectChangedError(place) from None
        except PermissionError:
            raise PermanentError(f"{place} may not be read. Give this user the right to.") from None
        except OSError as error:
            raise TransientError(f"{place} cannot be read ({error.strerror}).") from error
