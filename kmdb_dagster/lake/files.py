"""Where each file of the lake is, and how it is written atomically. What is inside is for `lake.parsed`.

raw/57/d41d8cd9+1c291ca3.json    revision 57 as KM wrote it; the name is its ETag and its CRC32
raw/57/absent                    revision 57 is not in the bucket
parsed/57.parquet                the records of revision 57
"""

import errno
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote, unquote

from kmdb_dagster.errors import PermanentError, TransientError

CHUNK = 1024 * 1024

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}


class RawFile(NamedTuple):
    """The raw copy of a revision. ``path`` and ``etag`` are None if the revision is not in the bucket."""

    path: Path | None
    etag: str | None
    size: int
    crc32: str | None = None
    """Eight hexadecimal digits. None: the copy was made by an older version of this program."""

    def is_intact(self) -> bool:
        """Return whether the copy still has the bytes that were written."""
        if self.path is None or self.crc32 is None:
            return True
        with translate_os_errors(self.path), self.path.open("rb") as file:
            return _crc32(iter(lambda: file.read(CHUNK), b"")) == self.crc32


class Lake:
    """The data folder, KMDB_DATA_DIR."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._raw = root / "raw"
        self._parsed = root / "parsed"

    def prepare(self) -> None:
        """Create the folders, with access for this user only.

        Raises:
            PermanentError: the folders cannot be created here.
        """
        for folder in (self.root, self._raw, self._parsed):
            with translate_os_errors(folder):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def raw(self, revision: int) -> RawFile | None:
        """Return the raw copy of a revision, the newest if there are several. None: there is no copy."""
        with translate_os_errors(self._raw):
            copies = [(path, path.stat()) for path in self._copies(revision)]
        if not copies:
            return None
        path, stat = max(copies, key=lambda copy: copy[1].st_mtime_ns)
        if path.name == "absent":
            return RawFile(None, None, 0)
        # A "+" in an ETag is quoted, so the first one ends it.
        etag, _, crc32 = path.stem.partition("+")
        return RawFile(path, unquote(etag), stat.st_size, crc32 or None)

    def store_raw(self, revision: int, etag: str, chunks: Iterable[bytes]) -> RawFile:
        """Write a raw copy atomically, and delete older ones.

        Args:
            revision: its number.
            etag: the ETag that the object had when it was read.
            chunks: the bytes of the object.
        """
        name = quote(etag, safe="")
        with _temporary_file(self._folder(revision) / name) as temporary:
            with temporary.open("wb") as file:
                crc32 = _crc32(_written(chunks, file))
            path = self._folder(revision) / f"{name}+{crc32}.json"
            temporary.replace(path)
        self.drop_raw(revision, keep=path)
        return RawFile(path, etag, path.stat().st_size, crc32)

    def mark_absent(self, revision: int) -> RawFile:
        """Record that a revision is not in the bucket, and delete its raw copies."""
        path = self._folder(revision) / "absent"
        with translate_os_errors(path):
            path.touch()
        self.drop_raw(revision, keep=path)
        return RawFile(None, None, 0)

    def drop_raw(self, revision: int, *, keep: Path | None = None) -> None:
        """Delete the raw copies of a revision, except ``keep``, and their folder if it is empty."""
        for path in self._copies(revision):
            if path != keep:
                with translate_os_errors(path):
                    path.unlink(missing_ok=True)
        if keep is None:
            # Another process may be writing a copy: then the folder is not empty, and stays.
            with suppress(OSError):
                (self._raw / str(revision)).rmdir()

    def all_raw(self) -> Iterator[Path]:
        """Yield the path of every raw copy."""
        yield from sorted(self._raw.glob("*/*.json"))

    def all_parsed(self) -> Iterator[Path]:
        """Yield the path of every Parquet file."""
        yield from sorted(self._parsed.glob("[0-9]*.parquet"))

    def parsed_revisions(self) -> set[int]:
        """Return the revisions that have a Parquet file."""
        return {int(path.stem) for path in self.all_parsed() if path.stem.isdecimal()}

    def is_empty(self) -> bool:
        """Return whether there is no raw copy and no Parquet file, not even a temporary one."""
        return not any(True for folder in (self._raw, self._parsed) for _ in folder.glob("*"))

    def drop_leftovers(self) -> int:
        """Delete leftover temporary files of killed processes. The caller holds `locks.exclusive`.

        Returns:
            The number of files deleted.
        """
        found = [*self.root.glob(".kmdb-*"), *self._raw.glob("*/.*"), *self._parsed.glob(".*")]
        for path in found:
            with translate_os_errors(path):
                path.unlink(missing_ok=True)
        return len(found)

    def _folder(self, revision: int) -> Path:
        folder = self._raw / str(revision)
        with translate_os_errors(folder):
            folder.mkdir(exist_ok=True)
        return folder

    def _copies(self, revision: int) -> list[Path]:
        # One folder per revision, so that finding a copy takes the same time in a lake of any size.
        return [path for path in (self._raw / str(revision)).glob("*") if not path.name.startswith(".")]

    def parsed(self, revision: int) -> Path:
        """Return the path of the Parquet of a revision, which may not exist yet."""
        return self._parsed / f"{revision}.parquet"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file that replaces ``path`` atomically at the end. After an error it is deleted instead."""
    with _temporary_file(path) as temporary:
        yield temporary
        temporary.replace(path)


@contextmanager
def _temporary_file(path: Path) -> Iterator[Path]:
    """Yield an empty hidden file beside ``path``, and delete it at the end if it is still there."""
    with translate_os_errors(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _written(chunks: Iterable[bytes], file: BinaryIO) -> Iterator[bytes]:
    """Write chunks to a file, and yield them for the checksum."""
    for chunk in chunks:
        file.write(chunk)
        yield chunk


def _crc32(chunks: Iterable[bytes]) -> str:
    crc32 = 0
    for chunk in chunks:
        crc32 = zlib.crc32(chunk, crc32)
    return f"{crc32:08x}"


@contextmanager
def translate_os_errors(path: Path, setting: str = "KMDB_DATA_DIR") -> Iterator[None]:
    """Raise errors of the operating system as `PermanentError` or `TransientError`.

    Args:
        path: the file, for the message.
        setting: the environment variable that names the folder, for the message.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        message = f"{path}: {reason}."
        if error.errno in FULL:
            raise PermanentError(f"{message} Make room there, or set {setting} to a folder with more.") from error
        if error.errno in FORBIDDEN:
            raise PermanentError(f"{message} Let this user write there, or set {setting} elsewhere.") from error
        raise TransientError(message) from error
