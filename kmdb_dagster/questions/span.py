"""The span of time that a question reads, and how dates and durations are written."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

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
    zone: tzinfo = UTC
    """Whose days and months the periods are."""


RECENTLY = When()
MAX_DEFAULT_PERIODS = 500
"""Periods of a span, where the user does not choose their length."""


@dataclass(frozen=True)
class Span:
    """From ``since`` (inclusive) to ``until`` (exclusive); the imported data ends at ``known_until``, if known.

    These times are UTC. Periods, and times that are shown, are those of ``zone``.
    """

    since: datetime
    until: datetime
    known_until: datetime | None = None
    zone: tzinfo = UTC

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
        return f"{math.ceil(needed / SECONDS_PER_UNIT[unit])}{'min' if unit == 'm' else unit}"

    def __str__(self) -> str:
        """Write both ends, whole days as dates."""
        ends = [wall_time(epoch_seconds(t), self.zone) for t in (self.since, self.until)]
        whole_days = all(t.time() == time() for t in ends)
        date_format = "%Y-%m-%d" if whole_days else "%Y-%m-%d %H:%M"
        return f"{ends[0]:{date_format}} to {ends[1]:{date_format}} {self.zone}"


def epoch_seconds(t: datetime) -> int:
    """Convert an aware time to seconds since 1970."""
    return int((t - EPOCH).total_seconds())


def from_epoch_seconds(second: int) -> datetime:
    """Convert seconds since 1970 to a time in UTC."""
    return EPOCH + timedelta(seconds=second)


def wall_time(second: int, zone: tzinfo) -> datetime:
    """Return what the clock of a zone shows at a second since 1970, without the zone."""
    try:
        return from_epoch_seconds(second).astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        return (LATEST if second > 0 else EPOCH).replace(tzinfo=None)


def instant(wall: datetime, zone: tzinfo) -> int:
    """Return the second since 1970 at which the clock of a zone shows a time.

    Of a time that it shows twice, the first; a time that it skips is the moment of the change.
    """
    return epoch_seconds(wall.replace(tzinfo=zone))


def last_midnight(t: datetime, zone: tzinfo) -> datetime:
    """Return the beginning of the day of a zone that a time is in."""
    return from_epoch_seconds(instant(datetime.combine(wall_time(epoch_seconds(t), zone), time()), zone))


def includes_latest(until: datetime) -> bool:
    """Return whether a span that ends here has no upper bound (see `LATEST`)."""
    return until >= LATEST


def shift(t: datetime, seconds: int) -> datetime:
    """Move a time forward, or back if ``seconds`` is negative, within the years 1970 to 9999 that facts can have."""
    try:
        return min(max(t + timedelta(seconds=seconds), EPOCH), LATEST)
    except OverflowError:
        return LATEST if seconds > 0 else EPOCH


def to_utc(moment: datetime, zone: tzinfo) -> datetime:
    """Convert a time to UTC; without an offset of its own it is of this zone.

    Raises:
        ValueError: It is outside the years 1 to 9999.
    """
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{moment} is outside the years 1 to 9999 in UTC") from None


def parse_duration(text: str) -> int:
    """Read a duration, in seconds: ``90s``, ``30min`` or ``30m``, ``12h``, ``7d``, ``2w``.

    Raises:
        ValueError: The text is not a duration, or it is 0.
    """
    found = re.fullmatch(r"([1-9]\d{0,5})(?:([smhdw])|(m)in)", text)
    if not found:
        raise ValueError(f"{text!r} is not a duration: expected a number and one of s, min, h, d, w, as in 7d")
    return int(found[1]) * SECONDS_PER_UNIT[found[2] or found[3]]
