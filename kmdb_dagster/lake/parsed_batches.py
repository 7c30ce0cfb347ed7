"""The records of a parsed revision as batches: read from its Parquet, or still in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake.files import translate_os_errors
from kmdb_dagster.lake.parquet_file import SCHEMA_VERSION, DamagedParquetError, damage_is_found, open_parquet

READABLE_VERSIONS = {"1", SCHEMA_VERSION}


class ParsedRevision(Protocol):
    """The records of a revision, with columns of `lake.parsed.SCHEMA`."""

    @property
    def revision(self) -> int:
        """The number of the revision."""

    @property
    def etag(self) -> str | None:
        """The ETag of the file that was parsed. None: the revision is absent."""

    @property
    def size(self) -> int:
        """The size of that file in bytes."""

    @property
    def weight(self) -> int:
        """About how many bytes the records take, in the file or in memory: the larger one. Groups are bounded by it."""

    def batches(self, size: int, *, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the records in order.

        Args:
            size: the maximum number of records in a batch that is read from a disk.
            columns: the columns to read. None: all.
        """


class ParsedFile:
    """Reads the Parquet of a revision.

    Raises:
        PermanentError: the file is missing, damaged or of an unknown schema version.
    """

    def __init__(self, path: Path, revision: int) -> None:
        if not path.exists():
            raise PermanentError(
                f"Revision {revision} is not parsed: {path.name} is missing. Materialize parsed_events first."
            )
        self._path = path
        self._damaged = (
            f"The Parquet of revision {revision} is damaged. Materialize parsed_events of revision {revision} again."
        )
        with translate_os_errors(path), self._damage_reported():
            self._file = open_parquet(path)
        origin = self._file.schema_arrow.metadata or {}
        version = origin.get(b"kmdb.schema_version", b"none").decode()
        if version not in READABLE_VERSIONS:
            raise PermanentError(
                f"{path.name} has schema version {version}; this program writes {SCHEMA_VERSION}. "
                f"Materialize parsed_events of revision {revision} again."
            )
        self.revision = revision
        self.etag = origin[b"kmdb.etag"].decode() or None
        self.size = int(origin[b"kmdb.bytes"])
        metadata = self._file.metadata
        in_memory = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
        self.weight = max(self.size, in_memory)

    def batches(self, size: int, *, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the records in order. A batch also ends with its row group.

        Raises:
            PermanentError: the file is damaged.
        """
        with translate_os_errors(self._path), self._damage_reported():
            for group in range(self._file.num_row_groups):
                yield from self._file.iter_batches(batch_size=size, row_groups=[group], columns=columns)

    @contextmanager
    def _damage_reported(self) -> Iterator[None]:
        try:
            with damage_is_found():
                yield
        except DamagedParquetError as error:
            raise PermanentError(self._damaged) from error


class ParsedInMemory:
    """Holds the records of a revision that was just parsed, so that its Parquet need not be read.

    Args:
        revision: its number.
        etag: as in `ParsedRevision`.
        size: as in `ParsedRevision`.
        max_bytes: how much is held.

    Attributes:
        is_complete: whether all records are held. False: they were more than ``max_bytes``, and none is held.
    """

    def __init__(self, revision: int, etag: str | None, size: int, max_bytes: int) -> None:
        self.revision, self.etag, self.size = revision, etag, size
        self.is_complete = True
        self._bytes = 0
        self._max_bytes = max_bytes
        self._batches: list[pa.RecordBatch] = []

    @property
    def weight(self) -> int:
        """As in `ParsedRevision`."""
        return max(self.size, self._bytes)

    def keep(self, batch: pa.RecordBatch) -> None:
        """Hold one more batch."""
        self._bytes += batch.nbytes
        self.is_complete = self._bytes <= self._max_bytes
        if self.is_complete:
            self._batches.append(batch)
        else:
            self._batches.clear()

    def batches(self, size: int, *, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the records in order, in the batches in which they were parsed."""
        del size
        yield from (batch.select(columns) if columns else batch for batch in self._batches)
