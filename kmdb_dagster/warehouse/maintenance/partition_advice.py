"""Advise how long time partitions should be, from the size of an export. Pure."""

from kmdb_dagster.wording import counted

BYTES_PER_LINE = 250
"""Of the sample, and about that of real exports."""
MIN_LINES_PER_PARTITION = 20_000
"""With fewer, the server opens more partitions than it saves rows."""
MAX_LINES_PER_PARTITION = 1_000_000
LENGTHS = (1, 7, 30, 91, 365)
"""Lengths of a partition in days that are proposed, ascending."""


def advise_partition_length(size: int, days_of_data: int, days: int) -> str:
    """Describe an export, and propose another length of its time partitions if this one is too short or too long.

    Args:
        size: bytes of the revisions.
        days_of_data: the days that the partitions divide.
        days: KMDB_DAYS_PER_PARTITION.
    """
    lines = size // BYTES_PER_LINE
    per_day = lines / max(1, days_of_data)
    described = (
        f"The bucket has {size / 1e6:,.0f} MB, about {counted(lines, 'line')}, {round(per_day * days):,} a partition."
    )
    proposed = _proposed(per_day, days)
    if proposed == days:
        return described
    return f"{described} KMDB_DAYS_PER_PARTITION={proposed} would do ({round(per_day * proposed):,} a partition)."


def _proposed(per_day: float, days: int) -> int:
    if per_day * days < MIN_LINES_PER_PARTITION:
        longer = [length for length in LENGTHS if length > days]
        return next((length for length in longer if per_day * length >= MIN_LINES_PER_PARTITION), [days, *longer][-1])
    if per_day * days > MAX_LINES_PER_PARTITION:
        shorter = [length for length in reversed(LENGTHS) if length < days]
        return next((length for length in shorter if per_day * length <= MAX_LINES_PER_PARTITION), [days, *shorter][-1])
    return days
