"""The source asset `kissmetrics_bucket`, and what a listing of the bucket observes of it."""

from collections.abc import Iterator, Mapping

import dagster as dg

from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.dagster_ext.partition_registry import register, registered
from kmdb_dagster.defs.assets.revisions import BUCKET
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.km_export.layout import describe_ranges
from kmdb_dagster.km_export.unread_keys import describe_unread
from kmdb_dagster.pipeline.bucket_scan import BucketScan, list_bucket
from kmdb_dagster.pipeline.outstanding import Outstanding, find_outstanding
from kmdb_dagster.warehouse.connection.bindings import check_bucket
from kmdb_dagster.warehouse.ledger import ledger

ADVICE = (
    "The sensor new_revisions requests what is new or changed at its next tick. If it is off, or to import failed "
    "revisions too, run import_outstanding."
)


@dg.multi_observable_source_asset(specs=[BUCKET])  # type: ignore[untyped-decorator]  # Dagster gives it no types
def bucket_scan(context: dg.AssetExecutionContext, kmdb: Kmdb) -> Iterator[dg.ObserveResult]:
    """List the whole bucket now. Revisions that are new or changed become outstanding."""
    with as_dagster_failure(), kmdb.warehouse(whole_tables=False) as warehouse:
        bucket = kmdb.bucket()
        check_bucket(warehouse.engine, bucket.location)
        scan = list_bucket(bucket, kmdb.settings().min_revision)
        if scan.etags:
            register(context.instance, warehouse, min(scan.etags), max(scan.etags))
        statuses = ledger.statuses(warehouse.engine)
        outstanding = find_outstanding(warehouse.engine, scan, registered(context.instance), statuses)
    if outstanding.new or outstanding.changed or outstanding.failed:
        context.log.info(ADVICE)
    yield dg.ObserveResult(asset_key=BUCKET.key, metadata=_metadata(bucket.url, scan, outstanding))


def observe(url: str, scan: BucketScan, outstanding: Outstanding) -> dg.AssetObservation:
    """Make the observation of a listing.

    Args:
        url: of the bucket.
        scan: a listing of the whole bucket.
        outstanding: what follows from it.
    """
    return dg.AssetObservation(BUCKET.key, metadata=_metadata(url, scan, outstanding))


def _metadata(url: str, scan: BucketScan, outstanding: Outstanding) -> Mapping[str, int | str]:
    listing = scan.listing
    gaps = (number for first, last in (listing.gaps if listing else ()) for number in range(first, last + 1))
    return {
        "bucket": url,
        "revisions": len(scan.etags),
        "bytes": scan.bytes,
        "bytes_of_a_revision": scan.bytes_of_a_revision,
        "newest": max(scan.etags, default=0),
        "gaps": describe_ranges(gaps),
        "new": len(outstanding.new),
        "changed": len(outstanding.changed),
        "changed_revisions": describe_ranges(outstanding.changed),
        "failed": len(outstanding.failed),
        "missing": len(outstanding.missing),
        "not_yet_exported": scan.status.to_come if scan.status else 0,
        "index_csv": scan.describe_index() or "agrees with the files",
        "not_read": (describe_unread(listing) if listing else "") or "none",
    }
