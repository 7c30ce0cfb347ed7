"""Time zones by their names in the IANA database, such as ``Europe/London``."""

import difflib
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, available_timezones


def time_zone(name: str) -> tzinfo:
    """Return the time zone of a name.

    Raises:
        ValueError: There is no such time zone; the message suggests similar names.
    """
    if name == str(UTC):
        return UTC
    names = available_timezones() - {"localtime"}
    if name in names:
        return ZoneInfo(name)
    similar = difflib.get_close_matches(name, names, 3, 0.6)
    hint = f" Did you mean {', '.join(similar)}?" if similar else ""
    raise ValueError(f"{name!r} is not a time zone: expected a name as in Europe/London, or UTC.{hint}")
