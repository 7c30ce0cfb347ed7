"""Find what is new in a bucket and decide which revisions to request. Knows the bucket and the ledger, no Dagster."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from kmdb_dagster.errors import KmdbError
from kmdb_dagster.km_export.layout import ExportStatus, Listing, parse_status, read_listing, revision_key
from kmdb_dagster.source import Bucket, ObjectUnreadableError, plain_etag
from kmdb_dagster.warehouse.ledger.ledger import Status

STATUS_CSV = "status.csv"
MAX_STATUS_BYTES = 64 * 1024
MAX_PROBES = 1000
"""In one call of `probe_ahead`: a tick of the sensor must end within 60 seconds, Dagster's limit."""


class BucketScan(NamedTuple):
    """What a listing or a probe of the bucket found."""

    etags: dict[int, str]
    """The ETag of each revision that was found, by number. Empty: the object exists and cannot be read."""
    listing: Listing | None
    """None: the bucket was not listed as a whole."""
    status: ExportStatus | None
    lowest: int = 1
    """The first number that was looked for."""


def list_bucket(bucket: Bucket, min_revision: int | None) -> BucketScan:
    """List the whole bucket: one request for each 1,000 objects.

    Args:
        bucket: the export.
        min_revision: KMDB_MIN_REVISION; lower numbers are excluded. None: no number is.
    """
    lowest = min_revision or 1
    found = {stored.key: stored.etag for stored in bucket.objects()}
    listing = read_listing(found)
    revisions = zip(listing.revisions, listing.keys, strict=True)
    etags = {number: found[key] for number, key in revisions if number >= lowest}
    return BucketScan(etags, listing, _status(bucket), lowest)


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


def changed(scan: BucketScan, statuses: Mapping[int, Status]) -> list[int]:
    """Return imported revisions whose ETag in the bucket differs, and absent ones that arrived since."""
    known = ((number, statuses[number], etag) for number, etag in scan.etags.items() if number in statuses)
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


def _status(bucket: Bucket) -> ExportStatus | None:
    """Return the content of ``status.csv``. It is informational, so any error counts as no file."""
    try:
        found = bucket.find(STATUS_CSV)
        if found is None or found.size > MAX_STATUS_BYTES:
            return None
        return parse_status(b"".join(bucket.read(found)).decode(errors="replace"))
    except KmdbError:
        return None
