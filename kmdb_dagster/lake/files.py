"""Which file of the lake is where, and how one is put there as a whole. What stands in them is not known here.

raw/57.d41d8cd9.json    revision 57 as KM wrote it; the ETag that it had is part of the name
raw/57.absent           revision 57 was looked for, and is not in the bucket
parsed/57.parquet       its lines as records
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from kmdb_dagster.errors import PermanentError


class RawFile(NamedTuple):
    """The raw copy of a revision. ``path`` and ``etag`` are None for one that is not in the bucket."""

    path: Path | None
    etag: str | None
    size: int


class Lake:
    """The folder that KMDB_DATA_DIR names."""

    def __init__(self, root: Path) -> None:
        self._raw = root / "raw"
        self._parsed = root / "parsed"

    def prepare(self) -> None:
        """Make the folders, for this user only.

        Raises:
            PermanentError: they cannot be made here.
        """
        for folder in (self._raw, self._parsed):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise PermanentError(f"KMDB_DATA_DIR: {folder} cannot be made ({error.strerror}).") from None

    def raw(self, revision: int) -> RawFile | None:
        """The raw copy of a revision, if there is one."""
        for path in self._copies(revision):
            if path.name == "absent":
                return RawFile(None, None, 0)
            return RawFile(path, unquote(path.stem), path.stat().st_size)
        return None

    def store_raw(self, revision: int, etag: str, chunks: Iterable[bytes]) -> RawFile:
        """Put a raw copy there, in place of any older one."""
        path = self._folder(revision) / f"{quote(etag, safe='')}.json"
        with whole_file(path) as temporary, temporary.open("wb") as file:
            file.writelines(chunks)
        self.drop_raw(revision, keep=path)
        return RawFile(path, etag, path.stat().st_size)

    def mark_absent(self, revision: int) -> RawFile:
        """Note that a revision is not in the bucket."""
        path = self._folder(revision) / "absent"
        path.touch()
        self.drop_raw(revision, keep=path)
        return RawFile(None, None, 0)

    def drop_raw(self, revision: int, *, keep: Path | None = None) -> None:
        """Remove the raw copies of a revision, all but one."""
        for path in self._copies(revision):
            if path != keep:
                path.unlink(missing_ok=True)

    def _folder(self, revision: int) -> Path:
        folder = self._raw / str(revision)
        folder.mkdir(exist_ok=True)
        return folder

    def _copies(self, revision: int) -> list[Path]:
        # One folder a revision: to find a copy costs the same however many there are.
        return [path for path in (self._raw / str(revision)).glob("*") if not path.name.startswith(".")]

    def parsed(self, revision: int) -> Path:
        """Where the Parquet of a revision is, or is to be."""
        return self._parsed / f"{revision}.parquet"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of ``path`` in one step when all went well, and goes away if not."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
