"""Find what is new in a bucket and decide which revisions to request. Knows the bucket and the ledger, no Dagster."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from kmdb_dagster.errors import KmdbError
from kmdb_dagster.km_export.layout import (
    ExportStatus,
    Listing,
    describe_ranges,
    parse_index,
    parse_status,
    read_listing,
    revision_key,
)
from kmdb_dagster.settings import Settings
from kmdb_dagster.source import Bucket, ObjectUnreadableError, plain_etag
from kmdb_dagster.warehouse.ledger.ledger import Status
from kmdb_dagster.warehouse.maintenance.partition_advice import advise_partition_length
from kmdb_dagster.warehouse.maintenance.time_partitions import Plan
from kmdb_dagster.wording import named_ranges

STATUS_CSV = "status.csv"
MAX_STATUS_BYTES = 64 * 1024
INDEX_CSV = "index.csv"
MAX_INDEX_BYTES = 64 * 1024 * 1024
"""A line for each revision, of 80 bytes."""
MAX_PROBES = 1000
"""In one call of `probe_ahead`: a tick of the sensor must end within 60 seconds, Dagster's limit."""

SMALL_REVISION_BYTES = 50_000
MANY_RUNS = 10
MAX_REVISIONS_PER_RUN = 1000
"""Ten runs or more of revisions this small are better imported by fewer runs: each takes seconds to start."""


class BucketScan(NamedTuple):
    """What a listing or a probe of the bucket found."""

    etags: dict[int, str]
    """The ETag of each revision that was found, by number. Empty: the object exists and cannot be read."""
    listing: Listing | None
    """None: the bucket was not listed as a whole."""
    status: ExportStatus | None
    lowest: int = 1
    """The first number that was looked for."""
    bytes: int = 0
    """The size of all revisions that a listing found."""
    indexed: frozenset[int] = frozenset()
    """The revisions whose files ``index.csv`` lists. Empty: the bucket was not listed, or has no such file."""

    @property
    def bytes_of_a_revision(self) -> int:
        """The mean size of a revision. 0: not known."""
        return self.bytes // len(self.etags) if self.etags else 0

    def lost(self) -> list[int]:
        """Return the revisions that ``index.csv`` lists and the bucket lacks. KM wrote them."""
        return sorted(number for number in self.indexed if number >= self.lowest and number not in self.etags)

    def unlisted(self) -> list[int]:
        """Return the revisions of the bucket that ``index.csv`` does not list. Empty without such a file."""
        return sorted(number for number in self.etags if number not in self.indexed) if self.indexed else []

    def describe_index(self) -> str:
        """Describe what differs between ``index.csv`` and the files, and what to do. Empty: nothing."""
        lost, unlisted = describe_ranges(self.lost()), describe_ranges(self.unlisted())
        parts = []
        if self.lost():
            parts.append(f"Restore lost files: index.csv lists {named_ranges(lost)}, and the bucket lacks them.")
        if self.unlisted():
            parts.append(f"index.csv does not list {named_ranges(unlisted)}: a copy, or it is older than they are.")
        return " ".join(parts)


def list_bucket(bucket: Bucket, min_revision: int | None) -> BucketScan:
    """List the whole bucket: one request for each 1,000 objects.

    Args:
        bucket: the export.
        min_revision: KMDB_MIN_REVISION; lower numbers are excluded. None: no number is.
    """
    lowest = min_revision or 1
    found = {stored.key: stored for stored in bucket.objects()}
    listing = read_listing(found)
    numbered = zip(listing.revisions, listing.keys, strict=True)
    revisions = {number: found[key] for number, key in numbered if number >= lowest}
    etags = {number: stored.etag for number, stored in revisions.items()}
    size = sum(stored.size for stored in revisions.values())
    indexed = parse_index(_read_text(bucket, INDEX_CSV, MAX_INDEX_BYTES) or "")
    return BucketScan(etags, listing, _status(bucket), lowest, size, indexed)


def probe_ahead(bucket: Bucket, last: int, lookahead: int) -> BucketScan:
    """Look for revisions after the last known one, until ``lookahead`` numbers in a row are missing.

    Args:
        bucket: the export.
        last: the highest revision that is known.
        lookahead: KMDB_REVISION_LOOKAHEAD.
    """
    etags: dict[int, str] = {}
    latest = last
    for number in range(last + 1, last + 1 + MAX_PROBES):
        if number > latest + lookahead:
            break
        etag = _etag(bucket, number)
        if etag is not None:
            etags[number] = etag
            latest = number
    return BucketScan(etags, None, None)


def _etag(bucket: Bucket, number: int) -> str | None:
    """Return the ETag of a revision. Empty for an unreadable object: its run fails and says why."""
    try:
        found = bucket.find(revision_key(number))
    except ObjectUnreadableError:
        return ""
    return found.etag if found else None


def changed(etags: Mapping[int, str], statuses: Mapping[int, Status]) -> list[int]:
    """Return imported revisions whose ETag in the bucket differs, and absent ones that arrived since."""
    known = ((number, statuses[number], etag) for number, etag in etags.items() if number in statuses)
    return sorted(number for number, status, etag in known if status.imported and not _same(status.etag, etag))


def _same(one: str | None, other: str) -> bool:
    return one is not None and plain_etag(one) == plain_etag(other)


def missing_from_bucket(scan: BucketScan, statuses: Mapping[int, Status]) -> list[int]:
    """Return imported revisions that a whole listing did not find. Empty after a probe, which cannot tell."""
    if scan.listing is None:
        return []
    imported = (number for number, status in statuses.items() if status.etag and number >= scan.lowest)
    return sorted(number for number in imported if number not in scan.etags)


def never_attempted(registered: Iterable[int], statuses: Collection[int], under_way: Collection[int]) -> list[int]:
    """Return registered revisions that no run has attempted or is about to. Failed ones are not requested again.

    Args:
        registered: the revisions that Dagster has as partitions.
        statuses: the revisions that have a row in the ledger.
        under_way: the revisions of runs that are queued or running.
    """
    return sorted(number for number in registered if number not in statuses and number not in under_way)


def advise_run_size(scan: BucketScan, left: int, revisions_per_run: int) -> str:
    """Advise a larger KMDB_REVISIONS_PER_RUN if very many tiny revisions are to be imported. Empty: no advice.

    Args:
        scan: a listing of the whole bucket.
        left: how many revisions are still to be imported.
        revisions_per_run: KMDB_REVISIONS_PER_RUN.
    """
    size = scan.bytes_of_a_revision
    if not 0 < size < SMALL_REVISION_BYTES or revisions_per_run >= MAX_REVISIONS_PER_RUN:
        return ""
    if left < MANY_RUNS * revisions_per_run:
        return ""
    return (
        f"The revisions are small ({size / 1000:.0f} kB on average): KMDB_REVISIONS_PER_RUN={MAX_REVISIONS_PER_RUN} "
        "would import them in fewer runs."
    )


def advise_time_partitions(open_bucket: Callable[[], Bucket], plan: Plan, settings: Settings) -> str:
    """Advise how long the time partitions of a plan should be.

    Empty: they are not the first ones, or the bucket cannot be listed.

    Args:
        open_bucket: opens the bucket, to learn its size.
        plan: the plan of the time partitions.
        settings: KMDB_MIN_REVISION and KMDB_DAYS_PER_PARTITION are used.
    """
    if not plan.days:
        return ""
    try:
        scan = list_bucket(open_bucket(), settings.min_revision)
    except KmdbError:
        return ""
    return advise_partition_length(scan.bytes, plan.days, settings.days_per_partition) if scan.bytes else ""


def _status(bucket: Bucket) -> ExportStatus | None:
    text = _read_text(bucket, STATUS_CSV, MAX_STATUS_BYTES)
    return None if text is None else parse_status(text)


def _read_text(bucket: Bucket, key: str, max_bytes: int) -> str | None:
    """Return the content of a small file. It is informational, so any error counts as no file."""
    try:
        found = bucket.find(key)
        if found is None or found.size > max_bytes:
            return None
        return b"".join(bucket.read(found)).decode(errors="replace")
    except KmdbError:
        return None
