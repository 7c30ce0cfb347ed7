"""Numbers and durations as text, for labels, tables and sentences."""

from itertools import pairwise

SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
"""The units in which durations are written: ``30m``, ``7d``."""
UNIT_NAMES = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
MIN_SHOWN_P_VALUE = 0.0001


def describe_duration(seconds: int) -> str:
    """Write an exact duration in the largest unit that divides it: ``7 days``, ``90 seconds``."""
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % SECONDS_PER_UNIT[unit] == 0)
    number = seconds // SECONDS_PER_UNIT[unit]
    return f"{number} {UNIT_NAMES[unit]}{'' if number == 1 else 's'}"


def round_duration(seconds: float) -> str:
    """Write a measured duration with one decimal, in its largest unit that is at least 1: ``3.4 hours``."""
    for unit, smaller in pairwise("dhms"):
        if seconds >= SECONDS_PER_UNIT[unit]:
            return f"{seconds / SECONDS_PER_UNIT[unit]:.1f} {UNIT_NAMES[unit]}s"
        if smaller == "s":
            break
    return f"{seconds:.0f} seconds"


def percent(part: float, whole: float) -> str:
    """Write ``part / whole`` as a percentage with one decimal; ``none`` if ``whole`` is 0."""
    return f"{100 * part / whole:.1f} %" if whole else "none"


def p_value_text(p: float) -> str:
    """Write a p-value with two digits: ``p = 0.034``, ``p < 0.0001``."""
    return f"p = {p:.2g}" if p >= MIN_SHOWN_P_VALUE else f"p < {MIN_SHOWN_P_VALUE}"
