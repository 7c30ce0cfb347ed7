"""Compute the times of sample revisions: start, length and receipt."""

START = 1_388_534_400
"""The start of revision 1: 2014-01-01 00:00 UTC, in seconds since 1970."""

SPAN = 1920
"""The length of a revision in seconds. 45 revisions are a day."""

TICK = 300
"""The interval in seconds at which KM receives lines. Lines of one tick are not ordered by time."""

DAY = 86_400 // SPAN
"""Revisions per day."""


def start_of(number: int) -> int:
    """Return the first second of a revision, since 1970."""
    return START + (number - 1) * SPAN


def received(t: int) -> int:
    """Return the tick, in seconds since 1970, at which a line of time ``t`` was received."""
    return (t // TICK + 1) * TICK


def receipt_span(number: int) -> tuple[int, int]:
    """Return the first and last receipt time of a revision, for index.csv: one to three seconds after a tick."""
    start = start_of(number)
    return received(start) + 1 + number % 3, received(start + SPAN - 1) + 1 + (number + 1) % 3
