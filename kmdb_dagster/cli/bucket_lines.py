"""What ``kmdb status`` says of the bucket: how much of it is not in yet, and what is not read at all."""

from sqlalchemy import Engine

from kmdb_dagster.errors import KmdbError, MissingSettingError
from kmdb_dagster.km_export.layout import describe_ranges
from kmdb_dagster.km_export.unread_keys import describe_unread
from kmdb_dagster.pipeline.bucket_scan import BucketScan, changed, list_bucket, missing_from_bucket
from kmdb_dagster.warehouse.ledger import ledger


def bucket_lines(engine: Engine) -> list[tuple[str, str]]:
    """List the bucket and compare it with the ledger: a name and a value each."""
    # Dagster takes a second to import: only for those who need it.
    from kmdb_dagster.defs.resources import Kmdb

    try:
        bucket = Kmdb().bucket()
        scan = list_bucket(bucket, Kmdb().settings().min_revision)
    except MissingSettingError:
        return []
    except KmdbError as error:
        return [("bucket", f"cannot be listed. {error}")]
    return [("bucket", f"{bucket.url}: {_words(scan, ledger.statuses(engine))}"), *_not_read(scan)]


def _words(scan: BucketScan, statuses: dict[int, ledger.Status]) -> str:
    waiting = [number for number in scan.etags if number not in statuses or not statuses[number].imported]
    parts = [
        f"{len(scan.etags):,} revisions",
        f"not in yet: {describe_ranges(waiting)}",
        f"changed since they were imported: {describe_ranges(changed(scan.etags, statuses))}",
        f"imported before and no longer there: {describe_ranges(missing_from_bucket(scan, statuses))}",
    ]
    return "; ".join(part for part in parts if not part.endswith(": none"))


def _not_read(scan: BucketScan) -> list[tuple[str, str]]:
    words = describe_unread(scan.listing) if scan.listing else ""
    return [("not read", words)] if words else []
