"""Erase people from the files of a data folder: delete raw copies that name them, redact Parquet files."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path

from kmdb_dagster.erasure.digests import ErasedIdentities
from kmdb_dagster.erasure.redaction import Redactor, rewrite_parquet
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.km_export.file_formats import decompressed, name_of_other_format
from kmdb_dagster.km_export.reader import read_lines
from kmdb_dagster.km_export.records import Alias, Blank, Record, Rejected
from kmdb_dagster.lake import Lake
from kmdb_dagster.lake.files import translate_os_errors
from kmdb_dagster.lake.locks import exclusive, writing
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.source.folder import CHUNK

WRITERS_TIMEOUT_SECONDS = 600.0
"""A run writes one file at a time, and a large one takes minutes."""


def erase_from_lake(
    lake: Lake, redact: Redactor, found: Counter[str], report: Callable[[str, int, int], object]
) -> None:
    """Remove erased identities from every file of a data folder.

    Args:
        lake: the data folder.
        redact: knows the erased identities, and collects their alias edges.
        found: where files are counted: ``temporary_files``, ``raw_files``, ``parquet_files``.
        report: called with what is being done, the files done so far, and all files.

    Raises:
        PermanentError: a Parquet file is damaged.
        TransientError: runs write to the folder for longer than WRITERS_TIMEOUT_SECONDS.
    """
    with exclusive(lake.root, WRITERS_TIMEOUT_SECONDS):
        found["temporary_files"] += lake.drop_leftovers()
    for path in lake.all_raw():
        if must_delete(path, redact.erased):
            with translate_os_errors(path):
                path.unlink(missing_ok=True)
            found["raw_files"] += 1
    files = list(lake.all_parsed())
    for number, path in enumerate(files, start=1):
        with writing(lake.root):
            found["parquet_files"] += retry_transient(partial(rewrite_parquet, path, redact))()
        report("searching Parquet files", number, len(files))


def must_delete(path: Path, erased: ErasedIdentities) -> bool:
    """Return whether a raw copy names an erased identity, or cannot be read, so that it may name one."""
    with translate_os_errors(path):
        try:
            file = path.open("rb")
        except FileNotFoundError:  # a run parsed it and removed it
            return False
        with file:
            lines = decompressed(iter(lambda: file.read(CHUNK), b""))
            try:
                head = next(lines, b"")
                records = read_lines(chain([head], lines))
                return bool(name_of_other_format(head)) or any(_names(record, erased) for record in records)
            except PermanentError:  # damaged gzip
                return True


def _names(record: Record, erased: ErasedIdentities) -> bool:
    if isinstance(record, Rejected):
        return erased.named_in(record.raw)
    if isinstance(record, Blank):
        return False
    return record.identity in erased or (isinstance(record, Alias) and record.alias in erased)
