"""Records in Dagster's history what the ledger has and the history lacks, so that both agree on what is in.

A run that is killed between the commit of a revision and its materialization event leaves such a difference. So does
a DAGSTER_HOME that is lost, or restored from a backup.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import dagster as dg

from kmdb_dagster.dagster_ext.cursors import EDITED, LedgerCursor, past, read_cursor
from kmdb_dagster.dagster_ext.event_storage import connection_kept
from kmdb_dagster.dagster_ext.failures import plainly
from kmdb_dagster.dagster_ext.partition_registry import register
from kmdb_dagster.dagster_ext.run_ranges import UNDER_WAY, waiting
from kmdb_dagster.defs.assets import PROPERTIES, SPECS
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import MissingSettingError
from kmdb_dagster.km_export.layout import HIGHEST_REVISION, chunks, ranges_in_words
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger

NAME = "record_loaded"
RECORDED = "recorded"
"""The metadata in which a run says which ranges it recorded."""

REPORTED = "Recorded from the ledger: the revision was in, and Dagster's history lacked it."

MAX_REVISIONS_PER_RUN = 10_000
"""Of 5 events each: minutes, after which the import gets its place among the runs back."""

MAX_LOOKED_UP = 1000
"""Revisions that are looked up one by one. For more, it is faster to read all partitions."""

SECONDS_BETWEEN_LOOKS = 60
SECONDS_BETWEEN_FULL_LOOKS = 24 * 3600
"""A full look finds what a clock that was set back hid from the others."""


class Comparison(NamedTuple):
    """A comparison of the ledger with Dagster's history."""

    unrecorded: list[int]
    """The imported revisions that the history lacks, ascending, except those of runs that are under way."""
    under_way: set[int]


def compare(
    instance: dg.DagsterInstance, warehouse: Warehouse, lowest: int | None, before: LedgerCursor | None = None
) -> Comparison:
    """Compare the ledger with Dagster's history: all of it, or what changed since an earlier look.

    It takes a second at 100,000 revisions, and milliseconds since a look a minute ago.
    """
    under_way = waiting(instance).revisions
    imported = set(ledger.imported_since(warehouse.engine, before.latest if before else None))
    if before:
        then = (number for first, last in before.under_way for number in range(first, last + 1))
        imported.update(number for number, _ in ledger.counts(warehouse.engine, list(then)))
    looked_at = {number for number in imported - under_way if number >= (lowest or 1)}
    recorded = _recorded(instance, looked_at)
    return Comparison(sorted(number for number in looked_at if str(number) not in recorded), under_way)


def _recorded(instance: dg.DagsterInstance, revisions: Collection[int]) -> Collection[str]:
    """Partitions that the history has of the asset that is recorded last: of these revisions at least."""
    if len(revisions) > MAX_LOOKED_UP:
        return instance.get_materialized_partitions(PROPERTIES.key)
    if not revisions:
        return ()
    return instance.get_latest_storage_id_by_partition(
        PROPERTIES.key, dg.DagsterEventType.ASSET_MATERIALIZATION, set(map(str, revisions))
    )


@dg.op
def report_to_history(context: dg.OpExecutionContext, kmdb: Kmdb) -> None:
    """Report a materialization of each asset for each imported revision that the history lacks."""
    with plainly(), kmdb.warehouse() as warehouse, connection_kept(context.instance):
        found = compare(context.instance, warehouse, kmdb.settings().min_revision).unrecorded[:MAX_REVISIONS_PER_RUN]
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
