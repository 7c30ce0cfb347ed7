"""What is new in a bucket, and what is to be asked for. Knows the bucket and the ledger, no Dagster."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from kmdb_dagster.errors import KmdbError
from kmdb_dagster.km_export.layout import ExportStatus, Listing, parse_status, read_listing, revision_key
from kmdb_dagster.source import Bucket, ObjectUnreadableError, plain_etag
from kmdb_dagster.warehouse.ledger.ledger import Status

STATUS_CSV = "status.csv"
MAX_STATUS_BYTES = 64 * 1024
MAX_PROBES = 1000
"""In one look ahead: they must fit into a tick of the sensor, for which Dagster allows 60 seconds."""


class BucketScan(NamedTuple):
    """What a look at the bucket found. ``etags`` are those of the revisions that were seen, by number."""

    etags: dict[int, str]
    listing: Listing | None
    status: ExportStatus | None
    lowest: int = 1
    """The first number that was looked for."""


def list_bucket(bucket: Bucket, min_revision: int | None) -> BucketScan:
    """List the whole bucket: a request for each 1,000 objects."""
    lowest = min_revision or 1
    found = {stored.key: stored.etag for stored in bucket.objects()}
    listing = read_listing(found)
    revisions = zip(listing.revisions, listing.keys, strict=True)
    etags = {number: found[key] for number, key in revisions if number >= lowest}
    return BucketScan(etags, listing, _status(bucket), lowest)


def probe_ahead(bucket: Bucket, last: int, lookahead: int) -> BucketScan:
    """Ask for the numbers after the last known one, until so many in a row are missing."""
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
    """Return the ETag of a revision; empty for one that is there and cannot be read, so that a run says why."""
    try:
        found = bucket.find(revision_key(number))
    except ObjectUnreadableError:
        return ""
    return found.etag if found else None


def changed(scan: BucketScan, statuses: Mapping[int, Status]) -> list[int]:
    """Revisions that are in with another content than the bucket has now, or that came late into a gap."""
    known = ((number, statuses[number], etag) for number, etag in scan.etags.items() if number in statuses)
    return sorted(number for number, status, etag in known if status.imported and not _same(status.etag, etag))


def _same(one: str | None, other: str) -> bool:
    return one is not None and plain_etag(one) == plain_etag(other)


def missing_from_bucket(scan: BucketScan, statuses: Mapping[int, Status]) -> list[int]:
    """Revisions that are in, and are not in the bucket any more; only a look everywhere can tell."""
    if scan.listing is None:
        return []
    in_it = (number for number, status in statuses.items() if status.etag and number >= scan.lowest)
    return sorted(number for number in in_it if number not in scan.etags)


def never_attempted(registered: Iterable[int], statuses: Collection[int], under_way: Collection[int]) -> list[int]:
    """Revisions that nobody has tried yet and that no run is about to try. Those that failed wait for a person."""
    return sorted(number for number in registered if number not in statuses and number not in under_way)


def _status(bucket: Bucket) -> ExportStatus | None:
    """What ``status.csv`` says. It is a courtesy: what stands in its way does not matter."""
    try:
        found = bucket.find(STATUS_CSV)
        if found is None or found.size > MAX_STATUS_BYTES:
            return None
        return parse_status(b"".join(bucket.read(found)).decode(errors="replace"))
    except KmdbError:
        return None
