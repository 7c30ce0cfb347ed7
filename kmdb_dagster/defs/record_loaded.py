"""Records in Dagster's history what the ledger has and the history lacks, so that both agree on what is in.

A run that is killed between the commit of a revision and its materialization event leaves such a difference. So does
a DAGSTER_HOME that is lost, or restored from a backup.
"""

import time

import dagster as dg

from kmdb_dagster.dagster_ext.cursors import EDITED, LedgerCursor, past, read_cursor
from kmdb_dagster.dagster_ext.failures import plainly
from kmdb_dagster.dagster_ext.history_comparison import RECORDED_RANGES, compare, materializations
from kmdb_dagster.dagster_ext.partition_registry import register
from kmdb_dagster.dagster_ext.run_ranges import UNDER_WAY
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import MissingSettingError
from kmdb_dagster.km_export.layout import HIGHEST_REVISION, chunks, ranges_in_words
from kmdb_dagster.warehouse.ledger import ledger

NAME = "record_loaded"
MAX_REVISIONS_PER_RUN = 10_000
"""Of 5 events each: minutes, after which the import gets its place among the runs back."""

SECONDS_BETWEEN_LOOKS = 60
SECONDS_BETWEEN_FULL_LOOKS = 24 * 3600
"""A full look finds what a clock that was set back hid from the others."""


@dg.op
def report_to_history(context: dg.OpExecutionContext, kmdb: Kmdb) -> None:
    """Report a materialization of each asset for each imported revision that the history lacks."""
    with plainly(), kmdb.warehouse() as warehouse:
        found = compare(context.instance, warehouse, kmdb.settings().min_revision).unrecorded[:MAX_REVISIONS_PER_RUN]
        if found:
            register(context.instance, warehouse, found[0], found[-1])
        for event in materializations(context.instance, warehouse, found):
            context.log_event(event)
    ranges = [[first, last] for first, last in chunks(found, HIGHEST_REVISION)]
    context.log.info("Recorded revisions: %s.", ranges_in_words(found))
    context.add_output_metadata({"revisions": len(found), RECORDED_RANGES: ranges})


@dg.job(
    name=NAME,
    description="Records in Dagster's history the revisions that the ledger has and the history lacks, such as after "
    "DAGSTER_HOME was lost. The sensor `unrecorded_revisions` starts it.",
)
def record_loaded() -> None:
    """The history brought up to the ledger."""
    report_to_history()


@dg.sensor(
    job=record_loaded,
    minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares the ledger with Dagster's history. Starts `record_loaded` if the history lacks revisions.",
)
def unrecorded_revisions(context: dg.SensorEvaluationContext, kmdb: Kmdb) -> dg.SensorResult | dg.SkipReason:
    """A look at both.

    A history that is restored from a backup brings an old cursor along, and one that is new has none.
    """
    if context.instance.get_runs(dg.RunsFilter(job_name=NAME, statuses=UNDER_WAY), limit=1):
        return dg.SkipReason(f"A run of {NAME} is under way.")
    cursor, edited = read_cursor(LedgerCursor, context.cursor)
    now = time.time()
    is_full = now - past(cursor.compared_at, now) >= SECONDS_BETWEEN_FULL_LOOKS
    try:
        with kmdb.warehouse() as warehouse:
            imported, latest = ledger.imports(warehouse.engine)
            lowest = kmdb.settings().min_revision
            found = compare(context.instance, warehouse, lowest, None if is_full else cursor)
    except MissingSettingError as error:
        return dg.SkipReason(str(error))
    if found.unrecorded:
        context.log.info("Imported, and not in Dagster's history: %s.", ranges_in_words(found.unrecorded))
        # The cursor stays, so that the next look finds what the run leaves undone.
        return dg.SensorResult(run_requests=[dg.RunRequest()])
    seen = LedgerCursor(
        compared_at=now if is_full else cursor.compared_at,
        imported=imported,
        latest=latest,
        under_way=list(chunks(found.under_way, HIGHEST_REVISION)),
    )
    words = f"Dagster's history has all {imported} imported revisions." + (f" {EDITED}" if edited else "")
    return dg.SensorResult(skip_reason=dg.SkipReason(words), cursor=seen.model_dump_json())
