"""Registers revisions as Dagster partitions. The keys are KM's revision numbers in decimal.

Dagster orders dynamic keys by insertion, and a range is a slice of that order. So they are registered only here,
ascending and without gaps. A number that KM never wrote is an empty partition.
"""

from collections.abc import Iterable
from functools import cache

import dagster as dg

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.km_export.layout import FOLDER, parse_revision
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.server import named_lock

PARTITIONS_NAME = "km_revision"
"""Names the partitions definition, defs/partitions.py."""

KEYS_PER_CALL = 1000

MAX_NEW_PARTITIONS = 500_000
"""Buckets have up to 100,000 revisions. A stray `revisions/8000000.json` must not make eight million partitions."""

LOCK_TIMEOUT_SECONDS = 60


def registered(instance: dg.DagsterInstance) -> list[int]:
    """Return the registered revisions, ascending. Keys that are not revision numbers are skipped."""
    return sorted(_numbers(instance.get_dynamic_partitions(PARTITIONS_NAME)))


def register(instance: dg.DagsterInstance, warehouse: Warehouse, lowest: int, highest: int) -> int:
    """Register all revisions from ``lowest`` to ``highest``.

    Keys that a user added by hand, out of order or not a number, are replaced. Dagster keeps the history of a key that
    is deleted and added again.

    Args:
        instance: Dagster's instance.
        warehouse: holds the lock, so that one process registers at a time.
        lowest: the first revision.
        highest: the last revision.

    Returns:
        How many keys were added.

    Raises:
        PermanentError: the range is larger than any bucket.
    """
    with named_lock(warehouse.engine, "register", LOCK_TIMEOUT_SECONDS):
        present = instance.get_dynamic_partitions(PARTITIONS_NAME)
        numbers = _numbers(present)
        first, last = min([lowest, *numbers]), max([highest, *numbers])
        if last - first >= len(numbers) + MAX_NEW_PARTITIONS:
            raise PermanentError(
                f"The bucket has revisions {lowest} to {highest}, which would be {last - first + 1:,} partitions. "
                "KissMetrics leaves no large gaps: remove the stray file, or set KMDB_MIN_REVISION above it."
            )
        wanted = [str(number) for number in range(first, last + 1)]
        if list(present) != wanted[: len(present)]:
            for key in present:
                instance.delete_dynamic_partition(PARTITIONS_NAME, key)
            present = []
        for start in range(len(present), len(wanted), KEYS_PER_CALL):
            instance.add_dynamic_partitions(PARTITIONS_NAME, wanted[start : start + KEYS_PER_CALL])
        return len(wanted) - len(present)


def revisions_of(keys: Iterable[str]) -> list[int]:
    """Return the revisions of a run, ascending.

    Raises:
        PermanentError: there are none, or a key is not a revision number.
    """
    numbers = {key: _number(key) for key in keys}
    for key, number in numbers.items():
        if number is None:
            raise PermanentError(f"Partition {key!r} is not a revision number (1, 2, 3, …). Delete that partition.")
    if not numbers:
        raise PermanentError("The run was given a range without revisions. Give the lower number first.")
    return sorted(number for number in numbers.values() if number is not None)


def _numbers(keys: Iterable[str]) -> list[int]:
    return [number for key in keys if (number := _number(key)) is not None]


# A tick of the sensor parses up to 100,000 keys, mostly those of the last tick.
@cache
def _number(key: str) -> int | None:
    return parse_revision(f"{FOLDER}{key}.json")
