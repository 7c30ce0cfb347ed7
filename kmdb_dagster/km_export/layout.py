"""The layout of the bucket: the names of its files, which of them are revisions, ``index.csv`` and ``status.csv``.

Pure functions of names and numbers. ``reader`` reads the content of a revision; ``source`` reads the bucket.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.wording import range_text

FOLDER = "revisions/"
MAX_REVISION = 2**23 - 1
"""Row ids have 63 bits: 23 for the revision, 24 for the line, 16 for the index in the line."""

# KM writes no leading zeros. Names with them are ignored, so no two files have the same number.
_KEY = re.compile(r"revisions/([1-9][0-9]{0,6})\.json")
_COPY_KEY = re.compile(r"(?:revisions/)?([1-9][0-9]{0,6})\.json(?:\.gz)?")
_NUMBER = re.compile(r"[1-9][0-9]{0,6}")
_RANGE = re.compile(r"([0-9]+)(?:\.\.([0-9]+))?")
# Longer ones are not counts, and Python raises ValueError for thousands of digits.
_COUNT = re.compile(r"[0-9]{1,18}")


class Listing(NamedTuple):
    """The contents of a bucket, by name.

    ``revisions`` are ascending numbers, and ``keys`` are their objects. Other names are reported, and never read:
    ``strange`` are those below ``revisions/``, ``other`` all others (``hello.txt`` …).
    """

    revisions: tuple[int, ...] = ()
    strange: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Return the missing numbers between the lowest and the highest revision, as ranges (first, last)."""
        return tuple((low + 1, high - 1) for low, high in pairwise(self.revisions) if high - low > 1)


class ExportStatus(NamedTuple):
    """The counts in ``status.csv``: the revisions that KM has made, and those that it has exported to the bucket."""

    total: int
    exported: int

    @property
    def to_come(self) -> int:
        """Return how many revisions KM has not exported yet."""
        return max(0, self.total - self.exported)


def revision_key(n: int) -> str:
    """Return KM's key of revision ``n``."""
    return f"{FOLDER}{n}.json"


def parse_revision(key: str) -> int | None:
    """Return the revision number of a key, None if KM does not write such a key for a revision."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    number = int(found[1])
    return number if number <= MAX_REVISION else None


def revision_keys(n: int, *, is_flat: bool) -> tuple[str, str]:
    """Return the possible keys of revision ``n``, the preferred one first: plain, then gzip."""
    key = revision_key(n)
    key = key.removeprefix(FOLDER) if is_flat else key
    return key, f"{key}.gz"


def is_flat(keys: Iterable[str]) -> bool:
    """Tell whether a copy of a bucket has its revisions at the top: nothing is in ``revisions/``."""
    return not any(key.startswith(FOLDER) and key != FOLDER for key in keys)


def read_listing(keys: Iterable[str]) -> Listing:
    """Split the keys of a bucket into revisions and other names.

    A duplicate key counts once. If a revision has a plain and a gzip file, the plain one is read.
    """
    names = set(keys)
    flat = is_flat(names)
    found: dict[int, str] = {}
    for key in sorted(names):
        number = _number_of_copy(key, flat=flat)
        if number is not None:
            found.setdefault(number, key)
    rest = names.difference(found.values())
    strange, other = (sorted(key for key in rest if key.startswith(FOLDER) is wanted) for wanted in (True, False))
    numbers = sorted(found)
    return Listing(tuple(numbers), tuple(strange), tuple(other), tuple(found[number] for number in numbers))


def _number_of_copy(key: str, *, flat: bool) -> int | None:
    found = _COPY_KEY.fullmatch(key)
    if found is None or key.startswith(FOLDER) is flat:
        return None
    number = int(found[1])
    return number if number <= MAX_REVISION else None


def parse_status(text: str) -> ExportStatus | None:
    """Parse ``status.csv``. None if it lacks the counts: the file is informational and never makes a run fail."""
    rows = [line.strip().split(",") for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
    if len(rows) < 2:
        return None
    row = dict(zip(rows[0], rows[1], strict=False))
    total, exported = _count(row.get("total_revisions")), _count(row.get("exported_revisions"))
    if total is None or exported is None:
        return None
    return ExportStatus(total, exported)


def parse_index(text: str) -> frozenset[int]:
    """Parse ``index.csv``: the revisions whose files KM lists. Lines that name no revision are skipped."""
    names = (line.partition(",")[0].strip() for line in text.removeprefix("\ufeff").split("\n"))
    return frozenset(number for name in names if (number := parse_revision(name)) is not None)


def _count(text: str | None) -> int | None:
    cell = (text or "").strip()
    return int(cell) if _COUNT.fullmatch(cell) else None


def chunks(numbers: Iterable[int], size: int) -> Iterator[tuple[int, int]]:
    """Split numbers into contiguous ranges.

    Args:
        numbers: In any order. Duplicates count once.
        size: The maximum of numbers in a range.

    Yields:
        First and last number of each range, ascending. No range contains a missing number.
    """
    if size < 1:
        raise ValueError(f"size is {size}; a range holds at least one number")
    ordered = sorted(set(numbers))
    begin = 0
    for end in range(1, len(ordered) + 1):
        if end == len(ordered) or ordered[end] != ordered[end - 1] + 1 or end - begin == size:
            yield ordered[begin], ordered[end - 1]
            begin = end


def describe_ranges(numbers: Iterable[int], max_ranges: int = 5) -> str:
    """Write numbers as ranges, ascending: ``3, 5..8``. ``…`` replaces the ranges after ``max_ranges``."""
    ranges = [range_text(first, last) for first, last in chunks(numbers, MAX_REVISION)]
    return ", ".join(ranges[:max_ranges]) + (", …" if len(ranges) > max_ranges else "") if ranges else "none"


def parse_range(text: str) -> tuple[int, int]:
    """Parse a range of revisions: ``31..45``, or ``31`` for one revision.

    Returns:
        The first and the last revision.

    Raises:
        PermanentError: The text is not a range, its first number is the larger one, or a number is too large.
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        raise _not_a_range(text, "is not a range of revisions")
    first, last = _bound(text, found[1]), _bound(text, found[2] or found[1])
    if first > last:
        raise _not_a_range(text, "runs backwards")
    return first, last


def _bound(text: str, digits: str) -> int:
    if not _NUMBER.fullmatch(digits) or int(digits) > MAX_REVISION:
        raise _not_a_range(text, f"holds a number that is not in 1 to {MAX_REVISION}, without leading zeros")
    return int(digits)


def _not_a_range(text: str, what: str) -> PermanentError:
    return PermanentError(f"{text[:60]!r} {what}. Expected: `31..45` (first and last revision) or `31`.")
