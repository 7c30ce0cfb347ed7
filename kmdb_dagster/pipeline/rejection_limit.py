"""The rejection limit: refuse a revision with too many rejected lines, or with more lines than row ids can number."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.km_export.columns import Columns
from kmdb_dagster.km_export.file_formats import HEAD_BYTES, decompressed, name_of_other_format
from kmdb_dagster.km_export.layout import revision_key
from kmdb_dagster.km_export.records import Record
from kmdb_dagster.lake import LineCounts, ParsedFile, RawFile
from kmdb_dagster.lake.files import translate_os_errors
from kmdb_dagster.warehouse.schema.row_ids import MAX_LINE

SMALL_FILE_LINES = 100
"""A file with fewer lines passes if one line can be imported: a few bad lines would be a large share of it."""

MAX_EXAMPLES = 5

REPLACE = "Replace {key} in the bucket, then run import_outstanding."


class RejectionLimit:
    """Refuses a revision before its Parquet takes its place.

    Args:
        revision: its number, for the message.
        raw: its raw copy, whose format the message names.
        max_rejected_share: KMDB_MAX_REJECTED_SHARE, 0 to 1. At 1 every revision passes.
    """

    def __init__(self, revision: int, raw: RawFile, max_rejected_share: float) -> None:
        self._revision = revision
        self._raw = raw
        self._max_share = max_rejected_share

    def __call__(self, written: Path, counts: LineCounts) -> None:
        """Check a Parquet file that is written and not yet in its place.

        Raises:
            PermanentError: the revision is refused. The message has line numbers and reasons, no content of a line.
        """
        if not counts.rejected or self._max_share >= 1:
            return
        number, lines, rejected = self._revision, counts.lines, counts.rejected
        if rejected + counts.blank == lines:
            raise PermanentError(self._message(f"No line of revision {number} can be imported", written))
        if rejected / lines > self._max_share and (lines >= SMALL_FILE_LINES or self._other_format):
            cause = (
                f"{rejected} of the {lines} lines of revision {number} are rejected, more than KMDB_MAX_REJECTED_SHARE "
                f"({self._max_share:g}) allows"
            )
            raise PermanentError(self._message(cause, written))

    def _message(self, cause: str, written: Path) -> str:
        looks = f"looks like {self._other_format}" if self._other_format else "is not what it should be"
        return (
            f"{REPLACE.format(key=revision_key(self._revision))} {cause}: the file {looks}. Nothing of the revision "
            f"was changed. The first rejected lines: {self._examples(written)}. See all with `kmdb inspect "
            f"{self._raw.path}`. To import the other lines anyway, raise KMDB_MAX_REJECTED_SHARE (1 lets everything "
            "through) and run import_outstanding."
        )

    @cached_property
    def _other_format(self) -> str | None:
        if self._raw.path is None:
            return None
        with translate_os_errors(self._raw.path), self._raw.path.open("rb") as file:
            head = next(decompressed(iter(lambda: file.read(HEAD_BYTES), b"")), b"")
        return name_of_other_format(head)

    def numbered(self, records: Iterable[Columns | Record]) -> Iterator[Columns | Record]:
        """Pass records on, up to the highest line number that row ids can hold.

        Raises:
            PermanentError: the file has more lines. It is refused while it is parsed, not only when it is loaded.
        """
        for found in records:
            last = found.first + len(found.times) - 1 if isinstance(found, Columns) else found.line
            if last > MAX_LINE:
                raise PermanentError(
                    f"{REPLACE.format(key=revision_key(self._revision))} Or split it into several revisions with "
                    f"unused numbers. Revision {self._revision} has more than {MAX_LINE:,} lines, the most that row "
                    "ids can number; KissMetrics writes some thousand lines into a file. Nothing of the revision was "
                    f"changed. The copy is in {self._raw.path}."
                )
            yield found

    def _examples(self, written: Path) -> str:
        batches = ParsedFile(written, self._revision).batches(1000, columns=["line", "reason"])
        rejected = (row for batch in batches for row in batch.to_pylist() if row["reason"] is not None)
        return ", ".join(f"{row['line']} ({row['reason']})" for row in islice(rejected, MAX_EXAMPLES))
