"""The asset `outstanding_revisions`: its materialization requests a backfill over everything outstanding."""

from collections.abc import Mapping

import dagster as dg

from kmdb_dagster.dagster_ext.backfills import RequestedBackfill, request_outstanding
from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.defs.assets.revisions import BUCKET
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.km_export.layout import describe_ranges

NOTHING = "Nothing is outstanding: every revision of the bucket is imported, or in an active run or backfill."


@dg.asset(
    deps=[BUCKET.key],
    kinds={"dagster"},
    description="The revisions that are new, changed or failed. **Materialize** imports all of them as one backfill: "
    "the way to repair an import. Each materialization shows which they were.",
)
def outstanding_revisions(context: dg.AssetExecutionContext, kmdb: Kmdb) -> dg.MaterializeResult[None]:
    """List the bucket, and request a backfill over outstanding revisions, except those of active runs."""
    with as_dagster_failure():
        requested = request_outstanding(context.instance, kmdb)
    context.log.info("%s", describe_backfill(requested))
    return dg.MaterializeResult(metadata=backfill_metadata(requested))


def describe_backfill(requested: RequestedBackfill) -> str:
    """Say which backfill was requested, and where it is seen."""
    if not requested.revisions:
        return NOTHING
    return f"Requested backfill {requested.id}: see Runs, Backfills, or /runs/b/{requested.id}"


def backfill_metadata(requested: RequestedBackfill) -> Mapping[str, dg.MetadataValue | str | int]:
    """Describe a requested backfill as metadata."""
    backfill = {"backfill": dg.MetadataValue.path(f"/runs/b/{requested.id}")} if requested.id else {}
    return {**backfill, "revisions": describe_ranges(requested.revisions), "count": len(requested.revisions)}
