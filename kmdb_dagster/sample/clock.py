"""When a sample's revisions are. Only the arithmetic of time; what happens in it is not known here."""

START = 1_388_534_400
"""2014-01-01 00:00 UTC, in seconds since 1970: where revision 1 begins."""

SPAN = 1920
"""Seconds that a revision covers: 45 of them are a day."""

TICK = 300
"""Seconds. KM takes lines in this often; within a tick, lines are not in the order of their time."""

DAY = 86_400 // SPAN
"""Revisions in a day."""


def start_of(number: int) -> int:
    """The first second of a revision, since 1970."""
    return START + (number - 1) * SPAN


def received(t: int) -> int:
    """The tick, in seconds since 1970, with which a line of second ``t`` was taken in."""
    return (t // TICK + 1) * TICK


def receipt_span(number: int) -> tuple[int, int]:
    """Receipt times of a revision, as index.csv has them: each one to three seconds after a tick."""
    start = start_of(number)
    return received(start) + 1 + number % 3, received(start + SPAN - 1) + 1 + (number + 1) % 3
