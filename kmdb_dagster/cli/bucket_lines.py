"""What ``kmdb status`` says of the bucket: how much of it is not in yet, and what is not read at all."""

from collections.abc import Collection, Mapping

from sqlalchemy import Engine

from kmdb_dagster.errors import KmdbError, MissingSettingError
from kmdb_dagster.km_export.layout import describe_ranges
from kmdb_dagster.km_export.unread_keys import describe_unread
from kmdb_dagster.pipeline.bucket_scan import BucketScan, changed, list_bucket, missing_from_bucket
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.ledger.changed_revisions import read_changes
from kmdb_dagster.wording import counted


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
    statuses = ledger.statuses(engine)
    return [
        ("bucket", f"{bucket.url}: {_words(scan, statuses)}"),
        *_outstanding(scan.etags.keys() - statuses.keys(), changed(scan.etags, statuses), statuses),
        *_index(scan),
        *_not_read(scan),
    ]


def remembered_lines(engine: Engine) -> list[tuple[str, str]]:
    """Say what is outstanding without a listing: failed revisions, and those that changed at the last bucket scan."""
    changes = [number for number, change in read_changes(engine).items() if change.etag is not None]
    return _outstanding((), changes, ledger.statuses(engine))


def _outstanding(
    new: Collection[int], changes: Collection[int], statuses: Mapping[int, ledger.Status]
) -> list[tuple[str, str]]:
    failed = [status.revision for status in statuses.values() if status.failed]
    total = len({*new, *changes, *failed})
    if not total:
        return []
    counts = f"{len(new):,} new, {len(changes):,} changed, {len(failed):,} failed"
    return [("outstanding", f"{total:,} revisions ({counts}): run the job import_outstanding, or `kmdb import`")]


def _words(scan: BucketScan, statuses: dict[int, ledger.Status]) -> str:
    waiting = [number for number in scan.etags if number not in statuses or not statuses[number].imported]
    parts = [
        counted(len(scan.etags), "revision"),
        f"not in yet: {describe_ranges(waiting)}",
        f"changed since they were imported: {describe_ranges(changed(scan.etags, statuses))}",
        f"imported before and no longer there: {describe_ranges(missing_from_bucket(scan, statuses))}",
    ]
    return "; ".join(part for part in parts if not part.endswith(": none"))


def _index(scan: BucketScan) -> list[tuple[str, str]]:
    words = scan.describe_index()
    return [("index.csv", words)] if words else []


def _not_read(scan: BucketScan) -> list[tuple[str, str]]:
    words = describe_unread(scan.listing) if scan.listing else ""
    return [("not read", words)] if words else []
