"""The advice on the length of time partitions."""

import pytest

from kmdb_dagster.warehouse.maintenance.partition_advice import advise_partition_length

MB = 1_000_000


def test_a_small_export_is_advised_longer_partitions() -> None:
    assert advise_partition_length(61 * MB, 3650, 7) == (
        "The bucket has 61 MB, about 244,000 lines, 468 a partition. KMDB_DAYS_PER_PARTITION=365 would do (24,400 a "
        "partition)."
    )


@pytest.mark.parametrize(
    ("size", "days_of_data", "days", "proposed"),
    [(100_000 * MB, 3650, 7, None), (100_000 * MB, 365, 30, 1), (600 * MB, 3650, 7, 91), (1, 10, 365, None)],
)
def test_a_length_is_proposed_only_if_partitions_would_be_too_small_or_too_large(
    size: int, days_of_data: int, days: int, proposed: int | None
) -> None:
    text = advise_partition_length(size, days_of_data, days)
    assert (f"KMDB_DAYS_PER_PARTITION={proposed} would do" in text) == (proposed is not None)
    assert ("would do" in text) == (proposed is not None)
