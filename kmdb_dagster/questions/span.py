"""Spans of time: which time partitions a question reads, and the lengths of time that it speaks of. All UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from kmdb_dagster.errors import PermanentError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
"""Seconds of the units in which lengths of time are written: ``30m``, ``7d``."""
WORDS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The last second that a fact can have. A span until then includes it: there is no later moment to name."""


@dataclass(frozen=True)
class When:
    """Which time a question is about, as it is asked."""

    since: datetime | None = None
    until: datetime | None = None
    """None: as long as there is data."""
    last: int = 30 * UNITS["d"]
    """Seconds before ``until``, back to a midnight; counts if there is no ``since``."""


RECENTLY = When()


@dataclass(frozen=True)
class Span:
    """From ``since`` until before ``until``; ``known_until`` is where the data ends, if that is known."""

    since: datetime
    until: datetime
    known_until: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a span of nothing."""
        if self.since >= self.until:
            raise PermanentError(
                f"The span is empty: since {self.since:%Y-%m-%d %H:%M}, until {self.until:%Y-%m-%d %H:%M}."
            )

    @property
    def start(self) -> int:
        """The first second, since 1970."""
        return seconds(self.since)

    @property
    def end(self) -> int:
        """The first second after it, since 1970."""
        return seconds(self.until) + reaches_latest(self.until)

    def known_end(self) -> int:
        """Up to which second, since 1970, everything is known that the span speaks of."""
        return self.end if self.known_until is None else seconds(self.known_until)

    def pieces(self) -> int:
        """Seconds of a piece that divides the span for a picture: an hour, a day or a week."""
        length = self.until - self.since
        return 3600 if length <= timedelta(days=3) else 86_400 if length <= timedelta(days=120) else 604_800

    def __str__(self) -> str:
        """For people: whole days as dates."""
        whole = self.start % 86_400 == self.end % 86_400 == 0
        form = "%Y-%m-%d" if whole else "%Y-%m-%d %H:%M"
        return f"{self.since:{form}} to {self.until:{form}} UTC"


def seconds(t: datetime) -> int:
    """Seconds since 1970."""
    return int((t - EPOCH).total_seconds())


def reaches_latest(until: datetime) -> bool:
    """Whether a span until then holds all that comes after its start."""
    return until >= LATEST


def shifted(t: datetime, length: int) -> datetime:
    """A time so many seconds later, or earlier if negative, within the time that facts can have: 1970 to 9999."""
    try:
        return min(max(t + timedelta(seconds=length), EPOCH), LATEST)
    except OverflowError:
        return LATEST if length > 0 else EPOCH


def moment(second: int) -> datetime:
    """The other way round."""
    return EPOCH + timedelta(seconds=second)


def parse_moment(text: str) -> datetime:
    """A date or time as people write it: ``2014-01-31``, ``2014-01-31 12:30``. UTC unless it says otherwise.

    Raises:
        ValueError: it is none.
    """
    found = datetime.fromisoformat(text)
    try:
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is outside the years 1 to 9999 in UTC") from None


def parse_length(text: str) -> int:
    """A length of time, in seconds: ``90s``, ``30m``, ``12h``, ``7d``, ``2w``.

    Raises:
        ValueError: it is none, or nothing.
    """
    found = re.fullmatch(r"([1-9]\d{0,5})([smhdw])", text)
    if not found:
        raise ValueError(f"{text!r} is no length of time: expected a number and one of s, m, h, d, w, as in 7d")
    return int(found[1]) * UNITS[found[2]]


def in_words(length: int) -> str:
    """A length of time for people: ``7 days``."""
    unit = next(unit for unit in ("d", "h", "m", "s") if length % UNITS[unit] == 0)
    number = length // UNITS[unit]
    return f"{number} {WORDS[unit]}{'' if number == 1 else 's'}"


def rounded(length: float) -> str:
    """A measured length of time for people, in its largest unit that is not a fraction: ``3.4 hours``."""
    for unit, smaller in pairwise("dhms"):
        if length >= UNITS[unit]:
            return f"{length / UNITS[unit]:.1f} {WORDS[unit]}s"
        if smaller == "s":
            break
    return f"{length:.0f} seconds"
