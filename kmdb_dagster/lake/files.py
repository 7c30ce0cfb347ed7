"""Which file of the lake is where, and how one is put there as a whole. What stands in them is not known here.

raw/57/d41d8cd9+1c291ca3.json    revision 57 as KM wrote it; its name is the ETag that it had, and its CRC32
raw/57/absent                    revision 57 was looked for, and is not in the bucket
parsed/57.parquet                its lines as records
"""

import errno
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote, unquote

from kmdb_dagster.errors import PermanentError, TransientError

CHUNK = 1024 * 1024

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}


class RawFile(NamedTuple):
    """The raw copy of a revision. ``path`` and ``etag`` are None for one that is not in the bucket."""

    path: Path | None
    etag: str | None
    size: int
    crc32: str | None = None
    """Eight hexadecimal digits; None for a copy of an older version of this program."""

    def is_intact(self) -> bool:
        """Whether the copy still has the bytes that were written."""
        if self.path is None or self.crc32 is None:
            return True
        with translate_os_errors(self.path), self.path.open("rb") as file:
            return _crc32(iter(lambda: file.read(CHUNK), b"")) == self.crc32


class Lake:
    """The folder that KMDB_DATA_DIR names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._raw = root / "raw"
        self._parsed = root / "parsed"

    def prepare(self) -> None:
        """Make the folders, for this user only.

        Raises:
            PermanentError: they cannot be made here.
        """
        for folder in (self.root, self._raw, self._parsed):
            with translate_os_errors(folder):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def raw(self, revision: int) -> RawFile | None:
        """The raw copy of a revision, if there is one: the newest, should an older one not have been removed yet."""
        with translate_os_errors(self._raw):
            copies = [(path, path.stat()) for path in self._copies(revision)]
        if not copies:
            return None
        path, stat = max(copies, key=lambda copy: copy[1].st_mtime_ns)
        if path.name == "absent":
            return RawFile(None, None, 0)
        # A "+" of an ETag is escaped.
        etag, _, crc32 = path.stem.partition("+")
        return RawFile(path, unquote(etag), stat.st_size, crc32 or None)

    def store_raw(self, revision: int, etag: str, chunks: Iterable[bytes]) -> RawFile:
        """Put a raw copy there, in place of any older one."""
        name = quote(etag, safe="")
        with _temporary_file(self._folder(revision) / name) as temporary:
            with temporary.open("wb") as file:
                crc32 = _crc32(_written(chunks, file))
            path = self._folder(revision) / f"{name}+{crc32}.json"
            temporary.replace(path)
        self.drop_raw(revision, keep=path)
        return RawFile(path, etag, path.stat().st_size, crc32)

    def mark_absent(self, revision: int) -> RawFile:
        """Note that a revision is not in the bucket."""
        path = self._folder(revision) / "absent"
        with translate_os_errors(path):
            path.touch()
        self.drop_raw(revision, keep=path)
        return RawFile(None, None, 0)

    def drop_raw(self, revision: int, *, keep: Path | None = None) -> None:
        """Remove the raw copies of a revision, all but one."""
        for path in self._copies(revision):
            if path != keep:
                with translate_os_errors(path):
                    path.unlink(missing_ok=True)

    def all_raw(self) -> Iterator[Path]:
        """Every raw copy."""
        yield from sorted(self._raw.glob("*/*.json"))

    def all_parsed(self) -> Iterator[Path]:
        """Every Parquet."""
        yield from sorted(self._parsed.glob("[0-9]*.parquet"))

    def parsed_revisions(self) -> set[int]:
        """The revisions that have a Parquet."""
        return {int(path.stem) for path in self.all_parsed() if path.stem.isdecimal()}

    def is_empty(self) -> bool:
        """Whether there is neither a raw copy nor a Parquet, not even a temporary one."""
        return not any(True for folder in (self._raw, self._parsed) for _ in folder.glob("*"))

    def drop_leftovers(self) -> int:
        """Remove temporary files. Nothing may be written meanwhile: see `locks.exclusive`.

        Returns:
            How many there were, all left by processes that were killed.
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
        # One folder a revision: to find a copy costs the same however many there are.
        return [path for path in (self._raw / str(revision)).glob("*") if not path.name.startswith(".")]

    def parsed(self, revision: int) -> Path:
        """Where the Parquet of a revision is, or is to be."""
        return self._parsed / f"{revision}.parquet"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of ``path`` in one step when all went well, and goes away if not."""
    with _temporary_file(path) as temporary:
        yield temporary
        temporary.replace(path)


@contextmanager
def _temporary_file(path: Path) -> Iterator[Path]:
    """An empty hidden file beside ``path``, which is removed at the end if it is still there."""
    with translate_os_errors(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _written(chunks: Iterable[bytes], file: BinaryIO) -> Iterator[bytes]:
    """Pass chunks on after they are written to a file."""
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
    """Failures of the disk as our own: what a person must mend, or what passes. ``setting`` names the folder."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        words = f"{path}: {reason}."
        if error.errno in FULL:
            raise PermanentError(f"{words} Make room there, or set {setting} to a folder with more.") from error
        if error.errno in FORBIDDEN:
            raise PermanentError(f"{words} Let this user write there, or set {setting} elsewhere.") from error
        raise TransientError(words) from error
