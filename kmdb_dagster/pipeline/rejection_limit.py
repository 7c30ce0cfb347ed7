"""Whether a revision is what it should be: not, if too many of its lines are rejected, or if it has too many lines."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.km_export.columns import Columns
from kmdb_dagster.km_export.file_formats import HEAD_BYTES, decompressed, name_of_other_format
from kmdb_dagster.km_export.records import Record
from kmdb_dagster.lake import LineCounts, ParsedFile, RawFile
from kmdb_dagster.lake.files import translate_os_errors
from kmdb_dagster.warehouse.schema.tables import MAX_LINE

SMALL = 100
"""Of a file with fewer lines, one line that can be imported is enough: a few bad lines are a large share of it."""

MAX_EXAMPLES = 5


class RejectionLimit:
    """Refuses a revision with too large a share of rejected lines, and one without a line that can be imported."""

    def __init__(self, revision: int, raw: RawFile, max_rejected_share: float) -> None:
        self._revision = revision
        self._raw = raw
        self._most = max_rejected_share

    def __call__(self, written: Path, tally: LineCounts) -> None:
        """Look at a Parquet before it takes its place.

        Raises:
            PermanentError: the revision is refused. It holds line numbers and reasons, nothing of a line.
        """
        if not tally.rejected or self._most >= 1:
            return
        number, lines, rejected = self._revision, tally.lines, tally.rejected
        if rejected + tally.blank == lines:
            raise PermanentError(f"No line of revision {number} can be imported: {self._reason(written)}")
        if rejected / lines > self._most and (lines >= SMALL or self._other_format):
            raise PermanentError(
                f"{rejected} of the {lines} lines of revision {number} are rejected, a larger share than "
                f"KMDB_MAX_REJECTED_SHARE allows ({self._most:g}): {self._reason(written)}"
            )

    def _reason(self, written: Path) -> str:
        looks = f"looks like {self._other_format}" if self._other_format else "is not what it should be"
        return (
            f"the file {looks}. Nothing of the revision was changed. The first rejected lines: "
            f"{self._examples(written)}. Look at all with `kmdb inspect {self._raw.path}`. Put the right file into the "
            f"bucket and run `kmdb import {self._revision}`. If these lines may be left out, raise "
            "KMDB_MAX_REJECTED_SHARE (1 lets everything through) and materialize the revision again."
        )

    @cached_property
    def _other_format(self) -> str | None:
        if self._raw.path is None:
            return None
        with translate_os_errors(self._raw.path), self._raw.path.open("rb") as file:
            head = next(decompressed(iter(lambda: file.read(HEAD_BYTES), b"")), b"")
        return name_of_other_format(head)

    def numbered(self, told: Iterable[Columns | Record]) -> Iterator[Columns | Record]:
        """Pass on what the lines say, up to the highest line number that row ids can hold.

        Raises:
            PermanentError: the file has more lines. It is refused at the first of them, not when it is loaded.
        """
        for found in told:
            last = found.first + len(found.times) - 1 if isinstance(found, Columns) else found.line
            if last > MAX_LINE:
                raise PermanentError(
                    f"Revision {self._revision} has more than {MAX_LINE:,} lines, the most that row ids can number. "
                    "KissMetrics writes some thousand lines into a file. Nothing of the revision was changed. "
                    f"Look at the copy in {self._raw.path}, and put the right file into the bucket; or split it into "
                    "several revisions with unused numbers."
                )
            yield found

    def _examples(self, written: Path) -> str:
        batches = ParsedFile(written, self._revision).batches(1000, columns=["line", "reason"])
        rejected = (row for batch in batches for row in batch.to_pylist() if row["reason"] is not None)
        return ", ".join(f"{row['line']} ({row['reason']})" for row in islice(rejected, MAX_EXAMPLES))
