"""The span of time that a question reads, and how dates and durations are written. All times are UTC."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kmdb_dagster.charts.number_text import SECONDS_PER_UNIT
from kmdb_dagster.errors import PermanentError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The last second that a fact can have. A span until then includes it, because no later moment can be named."""


@dataclass(frozen=True)
class When:
    """The time that a question is about, as the user writes it."""

    since: datetime | None = None
    until: datetime | None = None
    """None: the end of the imported data."""
    last: int = 30 * SECONDS_PER_UNIT["d"]
    """Seconds before ``until``, extended back to a midnight. Used without ``since``."""


RECENTLY = When()
MAX_DEFAULT_PERIODS = 500
"""Periods of a span, where the user does not choose their length."""


@dataclass(frozen=True)
class Span:
    """From ``since`` (inclusive) to ``until`` (exclusive); the imported data ends at ``known_until``, if known."""

    since: datetime
    until: datetime
    known_until: datetime | None = None

    def __post_init__(self) -> None:
        """Reject an empty span."""
        if self.since >= self.until:
            raise PermanentError(
                f"The span is empty: since {self.since:%Y-%m-%d %H:%M}, until {self.until:%Y-%m-%d %H:%M}."
            )

    @property
    def start(self) -> int:
        """The first second of the span, since 1970."""
        return epoch_seconds(self.since)

    @property
    def end(self) -> int:
        """The first second after the span, since 1970."""
        return epoch_seconds(self.until) + includes_latest(self.until)

    def known_end(self) -> int:
        """Return the second, since 1970, up to which all events are imported."""
        return self.end if self.known_until is None else epoch_seconds(self.known_until)

    def default_period(self) -> int:
        """Return the seconds of a period that suits a picture of the span: an hour, a day, a week or several weeks."""
        length = self.end - self.start
        if length <= 120 * SECONDS_PER_UNIT["d"]:
            return SECONDS_PER_UNIT["h" if length <= 3 * SECONDS_PER_UNIT["d"] else "d"]
        return SECONDS_PER_UNIT["w"] * math.ceil(length / (SECONDS_PER_UNIT["w"] * MAX_DEFAULT_PERIODS))

    def require_few_periods(self, every: int, max_periods: int) -> None:
        """Refuse periods that are so short that the span has too many of them.

        Raises:
            PermanentError: There are more than ``max_periods`` periods of ``every`` seconds.
        """
        periods = math.ceil((self.end - self.start) / every)
        if periods > max_periods:
            raise PermanentError(
                f"--every is too short: the span has {periods:,} such periods, and at most {max_periods:,} are "
                f"counted. Use --every {self._shortest(max_periods)} or longer, or a shorter span."
            )

    def _shortest(self, max_periods: int) -> str:
        """Return the shortest period in whole minutes, hours or days that divides the span into few periods."""
        needed = (self.end - self.start) / max_periods
        unit = next(unit for unit in "dhms" if needed > SECONDS_PER_UNIT[unit] or unit == "s")
        return f"{math.ceil(needed / SECONDS_PER_UNIT[unit])}{unit}"

    def __str__(self) -> str:
        """Write both ends, whole days as dates."""
        whole_days = self.start % 86_400 == self.end % 86_400 == 0
        date_format = "%Y-%m-%d" if whole_days else "%Y-%m-%d %H:%M"
        return f"{self.since:{date_format}} to {self.until:{date_format}} UTC"


def epoch_seconds(t: datetime) -> int:
    """Convert an aware time to seconds since 1970."""
    return int((t - EPOCH).total_seconds())


def from_epoch_seconds(second: int) -> datetime:
    """Convert seconds since 1970 to a time in UTC."""
    return EPOCH + timedelta(seconds=second)


def includes_latest(until: datetime) -> bool:
    """Return whether a span that ends here has no upper bound (see `LATEST`)."""
    return until >= LATEST


def shift(t: datetime, seconds: int) -> datetime:
    """Move a time forward, or back if ``seconds`` is negative, within the years 1970 to 9999 that facts can have."""
    try:
        return min(max(t + timedelta(seconds=seconds), EPOCH), LATEST)
    except OverflowError:
        return LATEST if seconds > 0 else EPOCH


def parse_moment(text: str) -> datetime:
    """Read a date or time: ``2014-01-31``, ``2014-01-31 12:30``. UTC unless the text has an offset.

    Raises:
        ValueError: The text is not a date or time of ISO 8601, or is outside the years 1 to 9999.
    """
    found = datetime.fromisoformat(text)
    try:
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is outside the years 1 to 9999 in UTC") from None


def parse_duration(text: str) -> int:
    """Read a duration, in seconds: ``90s``, ``30m``, ``12h``, ``7d``, ``2w``.

    Raises:
        ValueError: The text is not a duration, or it is 0.
    """
    found = re.fullmatch(r"([1-9]\d{0,5})([smhdw])", text)
    if not found:
        raise ValueError(f"{text!r} is not a duration: expected a number and one of s, m, h, d, w, as in 7d")
    return int(found[1]) * SECONDS_PER_UNIT[found[2]]
