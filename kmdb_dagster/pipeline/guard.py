"""Whether a revision is what it should be: not, if too many of its lines are rejected, or if it has too many lines."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.export.columns import Columns
from kmdb_dagster.export.records import Record
from kmdb_dagster.lake import ParsedFile, RawFile, Tally
from kmdb_dagster.warehouse.models import MAX_LINE

SMALL = 100
"""A file of fewer lines is let through whatever is on them: a few bad lines are a large share of it and say little."""

MOST_EXAMPLES = 5


class Guard:
    """Refuses a revision of which more than a share of the lines is rejected."""

    def __init__(self, revision: int, raw: RawFile, max_rejected_share: float) -> None:
        self._revision = revision
        self._raw = raw
        self._most = max_rejected_share

    def __call__(self, written: Path, tally: Tally) -> None:
        """Look at a Parquet before it takes its place.

        Raises:
            PermanentError: the revision is refused. It holds line numbers and reasons, nothing of a line.
        """
        if tally.lines < SMALL or tally.rejected / tally.lines <= self._most:
            return
        raise PermanentError(
            f"{tally.rejected} of the {tally.lines} lines of revision {self._revision} are rejected, a larger share "
            f"than KMDB_MAX_REJECTED_SHARE allows ({self._most:g}): the file is not what it should be. Nothing of the "
            f"revision was changed. The first of these lines: {self._examples(written)}. Look at all with "
            f"`kmdb inspect {self._raw.path}`. If they may be left out, raise KMDB_MAX_REJECTED_SHARE (1 lets "
            "everything through) and materialize the revision again."
        )

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
        return ", ".join(f"{row['line']} ({row['reason']})" for row in islice(rejected, MOST_EXAMPLES))
