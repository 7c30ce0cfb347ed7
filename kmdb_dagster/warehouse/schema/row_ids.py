"""Ids of rows: a function of the place in the export, so that a revision is a range of ids."""

from collections.abc import Iterable

LINE_BITS = 24
ORDINAL_BITS = 16
MAX_LINE = 2**LINE_BITS - 1
MAX_ORDINAL = 2**ORDINAL_BITS - 1


def row_id(revision: int, line: int, ordinal: int = 0) -> int:
    """Return the id of a row: a function of its place in the export, so that loading again gives the same rows.

    Args:
        revision: the number of the revision.
        line: the number of the line, from 1.
        ordinal: 0 for the event or alias of the line, 1, 2, … for its properties in their order.
    """
    return (revision << LINE_BITS | line) << ORDINAL_BITS | ordinal


def id_range(revision: int) -> dict[str, int]:
    """The ``first`` and ``last`` id that a row of a revision can have."""
    return {"first": row_id(revision, 0), "last": row_id(revision + 1, 0) - 1}


def id_ranges(revisions: Iterable[int]) -> str:
    """The condition in SQL that an ``id`` is of one of these revisions. Consecutive revisions are one range."""
    ranges: list[tuple[int, int]] = []
    for revision in sorted(set(revisions)):
        first = ranges.pop()[0] if ranges and ranges[-1][1] == revision - 1 else revision
        ranges.append((first, revision))
    between = (f"id BETWEEN {row_id(first, 0)} AND {row_id(last + 1, 0) - 1}" for first, last in ranges)
    return f"({' OR '.join(between) or 'FALSE'})"
