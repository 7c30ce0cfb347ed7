"""The bucket's layout: what its files are called, which of them are revisions, what ``status.csv`` says.

Pure facts about names and numbers. What stands inside a revision is not known here (see ``reader``), nor where
the bucket is (see ``source``).
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from kmdb_dagster.errors import PermanentError

FOLDER = "revisions/"
MAX_REVISION = 2**23 - 1
"""Row ids are 63 bits: 23 for the revision, 24 for the line, 16 for the place on the line."""

# KM writes no leading zeros. A name with them is ignored, so that two files never claim one number.
_KEY = re.compile(r"revisions/([1-9][0-9]{0,6})\.json")
_COPY_KEY = re.compile(r"(?:revisions/)?([1-9][0-9]{0,6})\.json(?:\.gz)?")
_NUMBER = re.compile(r"[1-9][0-9]{0,6}")
_RANGE = re.compile(r"([0-9]+)(?:\.\.([0-9]+))?")
# Longer ones are no counts; Python refuses to read thousands of digits with an exception.
_COUNT = re.compile(r"[0-9]{1,18}")


class Listing(NamedTuple):
    """What a bucket holds, by its names.

    ``revisions`` rise as numbers, and ``keys`` are their objects. The rest is reported, never read: ``strange`` are
    the names under ``revisions/`` that are no revision, ``other`` all names elsewhere (``hello.txt`` …), both sorted.
    """

    revisions: tuple[int, ...] = ()
    strange: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """The numbers missing between the lowest and the highest revision, as ranges: first and last."""
        return tuple((low + 1, high - 1) for low, high in pairwise(self.revisions) if high - low > 1)


class ExportStatus(NamedTuple):
    """What ``status.csv`` says: revisions that KM has made, and those of them that are in the bucket."""

    total: int
    exported: int

    @property
    def to_come(self) -> int:
        """Revisions that KM has not exported yet."""
        return max(0, self.total - self.exported)


def revision_key(n: int) -> str:
    """The key of revision ``n``."""
    return f"{FOLDER}{n}.json"


def parse_revision(key: str) -> int | None:
    """The number of the revision that a key names; None if it is no revision that KM would write."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    number = int(found[1])
    return number if number <= MAX_REVISION else None


def revision_keys(n: int, *, is_flat: bool) -> tuple[str, str]:
    """The keys that revision ``n`` may have, the preferred one first: KM's, or that of a flat copy, plain or gzip."""
    key = revision_key(n)
    key = key.removeprefix(FOLDER) if is_flat else key
    return key, f"{key}.gz"


def is_flat(keys: Iterable[str]) -> bool:
    """Whether a copy of a bucket has its revisions beside its other files, since nothing is in ``revisions/``."""
    return not any(key.startswith(FOLDER) and key != FOLDER for key in keys)


def read_listing(keys: Iterable[str]) -> Listing:
    """Sort a bucket's keys into revisions and ignored names.

    A key that is listed twice counts once. Of two keys with the same number, the plain one is read before gzip.
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
    """Read ``status.csv``. None if it does not say: it is a courtesy of KM, never a reason to fail."""
    rows = [line.strip().split(",") for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
    if len(rows) < 2:
        return None
    row = dict(zip(rows[0], rows[1], strict=False))
    total, exported = _count(row.get("total_revisions")), _count(row.get("exported_revisions"))
    if total is None or exported is None:
        return None
    return ExportStatus(total, exported)


def _count(text: str | None) -> int | None:
    cell = (text or "").strip()
    return int(cell) if _COUNT.fullmatch(cell) else None


def chunks(numbers: Iterable[int], size: int) -> Iterator[tuple[int, int]]:
    """Cut numbers into contiguous ranges.

    Args:
        numbers: in any order; repeated ones count once.
        size: how many numbers a range may hold.

    Yields:
        First and last number of each range, ascending. No range reaches over a missing number.
    """
    if size < 1:
        raise ValueError(f"size is {size}; a range holds at least one number")
    ordered = sorted(set(numbers))
    begin = 0
    for end in range(1, len(ordered) + 1):
        if end == len(ordered) or ordered[end] != ordered[end - 1] + 1 or end - begin == size:
            yield ordered[begin], ordered[end - 1]
            begin = end


def describe_ranges(numbers: Iterable[int], most: int = 5) -> str:
    """Numbers as ranges for people, the lowest first: ``3, 5..8``; ``…`` stands for the rest of very many."""
    ranges = [str(first) if first == last else f"{first}..{last}" for first, last in chunks(numbers, MAX_REVISION)]
    return ", ".join(ranges[:most]) + (", …" if len(ranges) > most else "") if ranges else "none"


def parse_range(text: str) -> tuple[int, int]:
    """Read a range of revisions as people write it: ``31..45``, or ``31`` for one revision.

    Returns:
        The first and the last revision.

    Raises:
        PermanentError: it is no range, or goes backwards, or beyond what a revision can be.
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        raise _no_range(text, "is no range of revisions")
    first, last = _bound(text, found[1]), _bound(text, found[2] or found[1])
    if first > last:
        raise _no_range(text, "runs backwards")
    return first, last


def _bound(text: str, digits: str) -> int:
    if not _NUMBER.fullmatch(digits) or int(digits) > MAX_REVISION:
        raise _no_range(text, f"holds a number that is not in 1 to {MAX_REVISION}, without leading zeros")
    return int(digits)


def _no_range(text: str, what: str) -> PermanentError:
    return PermanentError(f"{text[:60]!r} {what}. Expected: `31..45` (first and last revision) or `31`.")
