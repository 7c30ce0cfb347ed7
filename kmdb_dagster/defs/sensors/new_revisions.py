"""The sensor `new_revisions`: scans the bucket, registers partitions, and requests runs over ranges of revisions."""

import json
import time
from collections.abc import Sequence

import dagster as dg

from kmdb_dagster.dagster_ext.cursors import EDITED, ImportCursor, past, read_cursor
from kmdb_dagster.dagster_ext.import_requests import ImportState, plan_requests
from kmdb_dagster.dagster_ext.partition_registry import register, registered
from kmdb_dagster.dagster_ext.run_ranges import active_imports
from kmdb_dagster.defs.assets.bucket import observe
from kmdb_dagster.defs.jobs.imports import import_revisions
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.sensors.tick_log import skip
from kmdb_dagster.errors import MissingSettingError
from kmdb_dagster.km_export.unread_keys import describe_unread
from kmdb_dagster.pipeline.bucket_scan import BucketScan, advise_run_size, list_bucket, probe_ahead
from kmdb_dagster.pipeline.outstanding import find_outstanding
from kmdb_dagster.settings import Settings
from kmdb_dagster.source import Bucket
from kmdb_dagster.warehouse.connection.bindings import check_bucket
from kmdb_dagster.warehouse.ledger import ledger

SECONDS_BETWEEN_FULL_LISTINGS = 3600
"""A full listing finds changed revisions, and those behind a gap that probing ahead does not cross."""


@dg.sensor(
    job=import_revisions,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Finds new and changed revisions in the bucket, and requests runs over them, a few at a time. It lists "
    "the whole bucket every hour; the job `scan_bucket` does so now.",
)
def new_revisions(context: dg.SensorEvaluationContext, kmdb: Kmdb) -> dg.SensorResult | dg.SkipReason:
    """Probe the bucket for revisions after the latest known one, or list all of it once an hour."""
    settings = kmdb.settings()
    try:
        settings.require_import()
    except MissingSettingError as error:
        return skip(context, str(error))
    bucket = kmdb.bucket()
    before, edited = read_cursor(ImportCursor, context.cursor)
    listed_at = past(before.listed_at, time.time())
    known = registered(context.instance)
    is_full = not known or time.time() - listed_at >= SECONDS_BETWEEN_FULL_LISTINGS
    scan = _scan(bucket, settings, known, is_full=is_full)
    # Before the ledger is read: a run that ends in between is then seen as active, not as missing.
    active = active_imports(context.instance)
    with kmdb.warehouse(whole_tables=False) as warehouse:
        check_bucket(warehouse.engine, bucket.location)
        if scan.etags:
            register(context.instance, warehouse, min(scan.etags), max(scan.etags))
            known = registered(context.instance)
        statuses = ledger.statuses(warehouse.engine)
        outstanding = find_outstanding(warehouse.engine, scan, known, statuses)
        state = ImportState(scan, known, statuses, outstanding, active)
        planned = plan_requests(context.instance, state, warehouse.generation(), settings, time.time())
    sentences = [
        *state.describe(),
        *planned.describe(),
        advise_run_size(scan, state.left(), settings.revisions_per_run),
    ]
    text = " ".join(filter(None, [f"{bucket.url}:", *sentences, EDITED if edited else ""]))
    context.log.info(text)
    return dg.SensorResult(
        run_requests=planned.requests,
        skip_reason=None if planned.requests else dg.SkipReason(text),
        asset_events=[observe(bucket.url, scan, outstanding)] if is_full else [],
        cursor=json.dumps(
            {
                "listed_at": int(time.time()) if is_full else listed_at,
                "unread": describe_unread(scan.listing) if scan.listing else before.unread,
                **_progress(before, state),
            }
        ),
    )


def _progress(before: ImportCursor, state: ImportState) -> dict[str, float]:
    """Return the progress of the import and when it last changed. The sensor `alerts` reads it."""
    now = {"done": state.done(), "left": state.left()}
    moved = not now["left"] or (before.done, before.left) != (now["done"], now["left"])
    return {**now, "moved_at": (0 if moved else past(before.moved_at, time.time())) or int(time.time())}


def _scan(bucket: Bucket, settings: Settings, known: Sequence[int], *, is_full: bool) -> BucketScan:
    if is_full:
        return list_bucket(bucket, settings.min_revision)
    return probe_ahead(bucket, known[-1], settings.revision_lookahead)
