"""The sensor `unrecorded_revisions`: compares the ledger with Dagster's history, and starts `record_loaded`."""

import time

import dagster as dg

from kmdb_dagster.dagster_ext.cursors import EDITED, LedgerCursor, past, read_cursor
from kmdb_dagster.dagster_ext.history_comparison import compare
from kmdb_dagster.dagster_ext.run_ranges import ACTIVE_STATUSES
from kmdb_dagster.defs.jobs.imports import record_loaded
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.sensors.tick_log import skip
from kmdb_dagster.errors import MissingSettingError
from kmdb_dagster.km_export.layout import MAX_REVISION, chunks, describe_ranges
from kmdb_dagster.warehouse.ledger import ledger

SECONDS_BETWEEN_TICKS = 60
SECONDS_BETWEEN_FULL_COMPARISONS = 24 * 3600
"""A full comparison finds what a clock that was set back hid from the others."""


@dg.sensor(
    job=record_loaded,
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares the ledger with Dagster's history. Starts `record_loaded` if the history lacks revisions.",
)
def unrecorded_revisions(context: dg.SensorEvaluationContext, kmdb: Kmdb) -> dg.SensorResult | dg.SkipReason:
    """Compare what changed since the last tick, or everything once a day.

    A history that is restored from a backup has an old cursor, and a new one has none.
    """
    if context.instance.get_runs(dg.RunsFilter(job_name=record_loaded.name, statuses=ACTIVE_STATUSES), limit=1):
        return skip(context, f"A run of {record_loaded.name} is active.")
    cursor, edited = read_cursor(LedgerCursor, context.cursor)
    now = time.time()
    is_full = now - past(cursor.compared_at, now) >= SECONDS_BETWEEN_FULL_COMPARISONS
    try:
        with kmdb.warehouse() as warehouse:
            imported, latest = ledger.imports(warehouse.engine)
            min_revision = kmdb.settings().min_revision
            found = compare(context.instance, warehouse, min_revision, None if is_full else cursor)
    except MissingSettingError as error:
        return skip(context, str(error))
    if found.unrecorded:
        context.log.info("Imported, and not in Dagster's history: %s.", describe_ranges(found.unrecorded))
        # Keep the cursor, so that the next tick finds what the run does not record.
        return dg.SensorResult(run_requests=[dg.RunRequest()])
    seen = LedgerCursor(
        compared_at=now if is_full else cursor.compared_at,
        imported=imported,
        latest=latest,
        under_way=list(chunks(found.under_way, MAX_REVISION)),
    )
    text = f"Dagster's history has all {imported} imported revisions." + (f" {EDITED}" if edited else "")
    return dg.SensorResult(skip_reason=skip(context, text), cursor=seen.model_dump_json())
