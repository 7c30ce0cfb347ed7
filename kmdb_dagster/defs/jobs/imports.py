"""The jobs that import: a run's revisions, a typed range, all that is outstanding, and what Dagster's history lacks."""

import dagster as dg
from pydantic import Field

from kmdb_dagster.dagster_ext.asset_keys import REVISION_ASSETS
from kmdb_dagster.dagster_ext.backfills import request_range
from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.dagster_ext.history_comparison import RECORDED_RANGES, compare, materializations
from kmdb_dagster.dagster_ext.partition_registry import register
from kmdb_dagster.defs.assets.outstanding import backfill_metadata, describe_backfill, outstanding_revisions
from kmdb_dagster.defs.assets.revisions import BUCKET
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.km_export.layout import MAX_REVISION, chunks, describe_ranges

MAX_REVISIONS_PER_RUN = 10_000
"""Of `record_loaded`: five events each. It takes minutes, then imports get the place in the queue back."""

import_revisions = dg.define_asset_job(
    "import_revisions",
    selection=dg.AssetSelection.assets(*REVISION_ASSETS),
    description="Imports the revisions of a run. The sensor `new_revisions` starts it. To import a range that you "
    "choose, use `import_range`.",
)


scan_bucket = dg.define_asset_job(
    "scan_bucket",
    selection=dg.AssetSelection.assets(BUCKET.key),
    description="Lists the whole bucket now, instead of within an hour, and observes it: revisions, bytes, gaps, what "
    "changed and what is not read. The sensor `new_revisions` then requests what is new or changed.",
)


class RevisionRange(dg.Config):
    """A range of revisions, both ends included."""

    first: int = Field(ge=1, le=MAX_REVISION, description="The first revision to import.")
    last: int = Field(ge=1, le=MAX_REVISION, description="The last revision to import.")


@dg.op
def request_backfill(context: dg.OpExecutionContext, config: RevisionRange, kmdb: Kmdb) -> None:
    """Request a backfill over the range. Revisions that are imported already are imported again."""
    with as_dagster_failure():
        requested = request_range(context.instance, kmdb, config.first, config.last)
    context.log.info("%s", describe_backfill(requested))
    context.add_output_metadata(backfill_metadata(requested))


@dg.job(
    config=dg.RunConfig(ops={"request_backfill": RevisionRange(first=1, last=1)}),
    description="Imports a range of revisions that you type into the Launchpad, as one backfill over all five assets.",
)
def import_range() -> None:
    """Import a typed range of revisions."""
    request_backfill()


import_outstanding = dg.define_asset_job(
    "import_outstanding",
    selection=dg.AssetSelection.assets(outstanding_revisions),
    description="Imports every revision that is new, changed or failed, as one backfill: the way to repair an import. "
    "Press **Materialize**. It lists the bucket first, and needs no configuration. `kmdb import` does the same.",
)


@dg.op
def report_to_history(context: dg.OpExecutionContext, kmdb: Kmdb) -> None:
    """Report a materialization of each asset for each imported revision that the history lacks."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        found = compare(context.instance, warehouse, kmdb.settings().min_revision).unrecorded[:MAX_REVISIONS_PER_RUN]
        if found:
            register(context.instance, warehouse, found[0], found[-1])
        for event in materializations(context.instance, warehouse, found):
            context.log_event(event)
    ranges = [[first, last] for first, last in chunks(found, MAX_REVISION)]
    context.log.info("Recorded revisions: %s.", describe_ranges(found))
    context.add_output_metadata({"revisions": len(found), RECORDED_RANGES: ranges})


@dg.job(
    description="Records in Dagster's history the revisions that the ledger has and the history lacks, such as after "
    "DAGSTER_HOME was lost. The sensor `unrecorded_revisions` starts it.",
)
def record_loaded() -> None:
    """Record in Dagster's history what the ledger has."""
    report_to_history()
