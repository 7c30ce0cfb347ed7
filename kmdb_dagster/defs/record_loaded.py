"""Records in Dagster's history what the ledger has and the history lacks, so that both agree on what is in.

A run that is killed between the commit of a revision and its materialization event leaves such a difference. So does
a DAGSTER_HOME that is lost, or restored from a backup.
"""

from collections.abc import Collection, Iterator, Mapping

import dagster as dg

from kmdb_dagster.defs.assets import PROPERTIES, SPECS
from kmdb_dagster.defs.cursors import EDITED, LedgerCursor, read_cursor
from kmdb_dagster.defs.failures import plainly
from kmdb_dagster.defs.import_runs import UNDER_WAY, waiting
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.revisions import register
from kmdb_dagster.defs.storage import connection_kept
from kmdb_dagster.errors import MissingSettingError
from kmdb_dagster.export.layout import HIGHEST_REVISION, chunks, ranges_in_words
from kmdb_dagster.warehouse import Warehouse, ledger

NAME = "record_loaded"
RECORDED = "recorded"
"""The metadata in which a run says which ranges it recorded."""

REPORTED = "Recorded from the ledger: the revision was in, and Dagster's history lacked it."

MAX_REVISIONS_PER_RUN = 10_000
"""Of 5 events each: minutes, after which the import gets its place among the runs back."""

SECONDS_BETWEEN_LOOKS = 900


def unrecorded(instance: dg.DagsterInstance, warehouse: Warehouse, lowest: int | None) -> list[int]:
    """The imported revisions that Dagster's history lacks, ascending, except those of runs that are under way.

    It asks for the asset that is recorded last (0.5 seconds at 100,000 revisions).
    """
    under_way = waiting(instance).revisions
    imported = (number for number, status in ledger.statuses(warehouse.engine).items() if status.imported)
    recorded = instance.get_materialized_partitions(PROPERTIES.key)
    return sorted(
        number
        for number in imported
        if number >= (lowest or 1) and number not in under_way and str(number) not in recorded
    )


@dg.op
def report_to_history(context: dg.OpExecutionContext, kmdb: Kmdb) -> None:
    """Report a materialization of each asset for each imported revision that the history lacks."""
    with plainly(), kmdb.warehouse() as warehouse, connection_kept(context.instance):
        found = unrecorded(context.instance, warehouse, kmdb.settings().min_revision)[:MAX_REVISIONS_PER_RUN]
        if found:
            register(context.instance, warehouse, found[0], found[-1])
        recorded = {spec.key: context.instance.get_materialized_partitions(spec.key) for spec in SPECS}
        for revision, counts in ledger.counts(warehouse.engine, found):
            for event in _materializations(revision, counts, recorded):
                context.log_event(event)
    ranges = [[first, last] for first, last in chunks(found, HIGHEST_REVISION)]
    context.log.info("Recorded revisions: %s.", ranges_in_words(found))
    context.add_output_metadata({"revisions": len(found), RECORDED: ranges})


def _materializations(
    revision: int, counts: Mapping[str, int], recorded: Mapping[dg.AssetKey, Collection[str]]
) -> Iterator[dg.AssetMaterialization]:
    for spec in SPECS:
        if str(revision) not in recorded[spec.key]:
            rows = counts.get(spec.key.to_user_string(), counts["lines"])
            yield dg.AssetMaterialization(
                spec.key,
                description=REPORTED,
                partition=str(revision),
                metadata={**counts, "dagster/row_count": rows, "recorded_from": "ledger"},
            )


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
    """A look at both, if the ledger changed since the history had all of it.

    A history that is restored from a backup brings an old cursor along, and one that is new has none.
    """
    if context.instance.get_runs(dg.RunsFilter(job_name=NAME, statuses=UNDER_WAY), limit=1):
        return dg.SkipReason(f"A run of {NAME} is under way.")
    before, edited = read_cursor(LedgerCursor, context.cursor)
    try:
        with kmdb.warehouse() as warehouse:
            imported, latest = ledger.imports(warehouse.engine)
            now = LedgerCursor(imported=imported, latest=str(latest))
            idle = not waiting(context.instance).revisions
            found = [] if now == before else unrecorded(context.instance, warehouse, kmdb.settings().min_revision)
    except MissingSettingError as error:
        return dg.SkipReason(str(error))
    if found:
        words = f"Imported, and not in Dagster's history: {ranges_in_words(found)}."
        context.log.info(words)
        return dg.SensorResult(run_requests=[dg.RunRequest()])
    words = f"Dagster's history has all {imported} imported revisions." + (f" {EDITED}" if edited else "")
    # Revisions of runs that are under way are looked at later.
    cursor = now.model_dump_json() if idle else context.cursor
    return dg.SensorResult(skip_reason=dg.SkipReason(words), cursor=cursor)
