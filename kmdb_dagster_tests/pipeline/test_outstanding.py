"""Which revisions are requested in one run."""

from collections.abc import Collection, Iterable

import pytest

from kmdb_dagster.pipeline.outstanding import MAX_BRIDGED_BYTES, MAX_BRIDGED_REVISIONS, bridged_ranges
from kmdb_dagster.warehouse.ledger.ledger import Status


def split(
    wanted: Iterable[int],
    *,
    imported: Iterable[int] = range(1, 200),
    excluded: Collection[int] = (),
    max_size: int = 100,
) -> list[tuple[int, int]]:
    statuses = {number: Status(number, "etag", imported=True, failed=False, bytes=1000) for number in imported}
    return list(bridged_ranges(wanted, statuses, excluded, max_size))


def test_a_small_hole_is_bridged_and_a_large_one_is_not() -> None:
    beyond = 5 + MAX_BRIDGED_REVISIONS + 1
    assert split([1, 3, 5, beyond]) == [(1, beyond)]
    assert split([1, 3, 5, beyond + 1]) == [(1, 5), (beyond + 1, beyond + 1)]


def test_a_range_has_no_more_revisions_than_a_run_takes() -> None:
    assert split([1, 4, 10, 11, 12], max_size=10) == [(1, 10), (11, 12)]
    assert split(range(1, 8), max_size=3) == [(1, 3), (4, 6), (7, 7)]


@pytest.mark.parametrize(
    "status",
    [
        None,
        Status(2, None, imported=False, failed=True),
        Status(2, "etag", imported=True, failed=True),
        Status(2, "etag", imported=True, failed=False, bytes=MAX_BRIDGED_BYTES + 1),
    ],
)
def test_a_revision_that_is_not_imported_or_failed_or_is_large_is_not_repeated(status: Status | None) -> None:
    assert list(bridged_ranges([1, 3], {2: status} if status else {}, (), 100)) == [(1, 1), (3, 3)]


def test_a_revision_of_an_active_run_is_not_repeated() -> None:
    assert split([1, 3], excluded={2}) == [(1, 1), (3, 3)]


def test_a_thousand_scattered_in_four_thousand_are_about_twenty_runs() -> None:
    assert len(split(range(2, 4001, 4), imported=range(1, 4001), max_size=200)) == 20


def test_nothing_wanted_is_no_range() -> None:
    assert split([]) == []
