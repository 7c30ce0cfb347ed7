"""Generate a whole sample bucket: revisions, and KM's files about them (``index.csv``, ``status.csv``)."""

import time
from collections.abc import Iterator

from kmdb_dagster.km_export.layout import MAX_REVISION, revision_key
from kmdb_dagster.sample.clock import receipt_span
from kmdb_dagster.sample.revision import DEFAULT_SEED, revision_numbers, sample_revision

HELLO = """\
This is a sample of a data export. Everything in it is invented.

revisions/N.json holds one record on each line: "_p" is who, "_t" when (seconds since 1970, UTC), "_n" what.
A record without "_n" sets properties. A record with "_p2" says that two identities are one person.
index.csv lists the files, status.csv says how many there are.
"""


def sample_bucket(
    revisions: int, lines: int, *, first: int = 1, seed: int = DEFAULT_SEED
) -> Iterator[tuple[str, bytes]]:
    """Generate a bucket, one file at a time. The package docstring describes its contents.

    Args:
        revisions: The number of revisions. If there are ten or more, the seventh has no file.
        lines: The number of lines of each revision.
        first: The lowest revision number. People with an earlier first visit are included.
        seed: The seed of the random data.

    Yields:
        Key and content: ``hello.txt``, ``index.csv``, ``status.csv``, then the revisions, ascending.
    """
    _check(revisions, lines, first)
    numbers = tuple(revision_numbers(first, revisions))
    yield "hello.txt", HELLO.encode()
    yield "index.csv", _index(numbers)
    yield "status.csv", _status(first + revisions - 1)
    for number in numbers:
        yield revision_key(number), sample_revision(number, lines=lines, seed=seed)


def _check(revisions: int, lines: int, first: int) -> None:
    last = first + revisions - 1
    if first < 1 or revisions < 0 or lines < 0 or last > MAX_REVISION:
        raise ValueError(
            f"revisions {first} to {last} of {lines} lines: numbers go from 1 to {MAX_REVISION}, lines from 0"
        )


def _index(numbers: tuple[int, ...]) -> bytes:
    rows = ["filename,min_timestamp,max_timestamp,min_utc_date,max_utc_date"]
    for number in numbers:
        low, high = receipt_span(number)
        rows.append(f"{revision_key(number)},{low},{high},{_date(low)},{_date(high)}")
    return ("\n".join(rows) + "\n").encode()


def _status(last: int) -> bytes:
    newest = receipt_span(last)[1] if last else 0
    header = "total_revisions,exported_revisions,max_exported_revision_timestamp,max_exported_revision_utc_date"
    return f"{header}\n{last},{last},{newest},{_date(newest)}\n".encode()


def _date(t: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M GMT", time.gmtime(t))
