"""The outstanding revisions: new, changed or failed ones. Knows the bucket and the ledger, no Dagster."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import Engine

from kmdb_dagster.pipeline.bucket_scan import BucketScan, changed, missing_from_bucket, never_attempted
from kmdb_dagster.warehouse.ledger.changed_revisions import read_changes, remember_changes
from kmdb_dagster.warehouse.ledger.ledger import Status

MAX_BRIDGED_REVISIONS = 40
MAX_BRIDGED_BYTES = 16 * 1024 * 1024
"""The largest hole between two revisions that one run takes both of. The start of another run costs four seconds, and
the repeated import of a small revision 50 ms."""


class Outstanding(NamedTuple):
    """The outstanding revisions, each ascending. Those of active runs are among them."""

    new: list[int]
    """Never attempted."""
    changed: dict[int, str]
    """Changed since they were imported, or late, each with its ETag in the bucket. Not those whose import failed."""
    failed: list[int]
    """The last attempt failed. They wait for you."""
    missing: set[int]
    """Imported, and no longer in the bucket. Nothing can be done about them, and their facts are kept."""

    def all(self) -> set[int]:
        """Return all of them."""
        return {*self.new, *self.changed, *self.failed}


def find_outstanding(
    engine: Engine, scan: BucketScan, registered: Iterable[int], statuses: Mapping[int, Status]
) -> Outstanding:
    """Find the outstanding revisions, and remember the changed ones until they are imported.

    Only a listing of the whole bucket finds changed revisions. After a probe, those of the last listing count.

    Args:
        engine: of the warehouse.
        scan: what a listing or a probe found.
        registered: the revisions that Dagster has as partitions.
        statuses: the ledger, by revision.
    """
    known = read_changes(engine)
    found = _compare(scan, statuses, {number: change.etag for number, change in known.items()})
    if found != {number: change.etag for number, change in known.items()}:
        remember_changes(engine, found)
        known = read_changes(engine)
    tried = {number for number, change in known.items() if change.has_failed}
    return Outstanding(
        never_attempted(registered, statuses, ()),
        {number: etag for number, etag in found.items() if etag is not None and number not in tried},
        sorted(status.revision for status in statuses.values() if status.failed),
        {number for number, etag in found.items() if etag is None},
    )


def _compare(
    scan: BucketScan, statuses: Mapping[int, Status], remembered: Mapping[int, str | None]
) -> dict[int, str | None]:
    """Return the ETag in the bucket of each imported revision that changed; None if it is missing there."""
    missing = missing_from_bucket(scan, statuses)
    etags = scan.etags
    if scan.listing is None:
        missing = [number for number, etag in remembered.items() if etag is None and number in statuses]
        etags = {number: etag for number, etag in remembered.items() if etag is not None} | etags
    return {**dict.fromkeys(missing), **{number: etags[number] for number in changed(etags, statuses)}}


def bridged_ranges(
    wanted: Iterable[int], statuses: Mapping[int, Status], excluded: Collection[int], max_size: int
) -> Iterator[tuple[int, int]]:
    """Split revisions into ranges that bridge small holes: imported revisions between them are imported again.

    Args:
        wanted: the revisions, in any order.
        statuses: the ledger, by revision. A hole with a revision that is not imported, or failed, is not bridged.
        excluded: the revisions that are not repeated: of active runs, and missing ones.
        max_size: the maximum of revisions in a range.

    Yields:
        First and last revision of each range, ascending.
    """
    ordered = sorted(set(wanted))
    begin = 0
    for end in range(1, len(ordered) + 1):
        if (
            end == len(ordered)
            or ordered[end] - ordered[begin] >= max_size
            or not _is_bridged(range(ordered[end - 1] + 1, ordered[end]), statuses, excluded)
        ):
            yield ordered[begin], ordered[end - 1]
            begin = end


def _is_bridged(hole: range, statuses: Mapping[int, Status], excluded: Collection[int]) -> bool:
    if len(hole) > MAX_BRIDGED_REVISIONS:
        return False
    found = [statuses[number] for number in hole if number in statuses and number not in excluded]
    return (
        len(found) == len(hole)
        and all(status.imported and not status.failed for status in found)
        and sum(status.bytes for status in found) <= MAX_BRIDGED_BYTES
    )
