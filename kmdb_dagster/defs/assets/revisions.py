"""The five assets of a revision, and the one Dagster step that makes them.

They are one step because the revision is the unit of success (docs/decisions/0001-one-step.md).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from kmdb_dagster.dagster_ext.asset_keys import EVENTS, PARSED_EVENTS, PROPERTIES, RAW_REVISIONS, USER_MAP
from kmdb_dagster.dagster_ext.failures import raise_if_failed
from kmdb_dagster.dagster_ext.partition_registry import revisions_of
from kmdb_dagster.dagster_ext.revision_steps import run_steps
from kmdb_dagster.dagster_ext.run_retries import transient_tags
from kmdb_dagster.defs.asset_checks import revisions as revision_checks
from kmdb_dagster.defs.partitions import REVISIONS
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.km_export.layout import describe_ranges
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.warehouse.identity.rules import RULE_IS_PENDING, is_rule_pending

JOBS_PATH = "/locations/kmdb_dagster/jobs"
"""Where the UI has the jobs, for links in descriptions."""

REVISIONS_TAG = "kmdb/revisions"
"""Names a run's revisions in Dagster's list of runs, e.g. ``21..30``."""

BUCKET = dg.AssetSpec(
    "kissmetrics_bucket",
    description="The export that KissMetrics writes: `revisions/N.json`, one JSON object a line. The sensor "
    "`new_revisions` watches it.",
    kinds={"s3", "json"},
)


def _spec(key: dg.AssetKey, upstream: dg.AssetKey, kind: str, description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        deps=[upstream],
        description=description,
        kinds={kind},
        # Without an output Dagster records nothing itself; `run_steps` records each revision at once.
        skippable=True,
    )


SPECS = [
    _spec(
        RAW_REVISIONS,
        BUCKET.key,
        "json",
        "The file of a revision as KM wrote it, pinned by its ETag. A number that KM never wrote is empty and says so."
        "\n\nThe sensor `new_revisions` imports what is new. To import a range again, run the job "
        f"[import_range]({JOBS_PATH}/import_range).",
    ),
    _spec(
        PARSED_EVENTS,
        RAW_REVISIONS,
        "parquet",
        "Every line of a revision as records, one Parquet file: events, property sets, alias lines, and rejected "
        "lines with their reason.\n\n[The columns, and how to read them](docs/reference/parquet.md).",
    ),
    _spec(
        USER_MAP,
        PARSED_EVENTS,
        "mysql",
        "The user map: identity → person. A revision's names go to `keys` and `users`, its alias lines to `aliases`. "
        "Identity resolution then updates the map, and facts move to their person.\n\n"
        "[How people are resolved](docs/explanation/people.md). After a change of the rule, run the job "
        f"[realias]({JOBS_PATH}/realias).",
    ),
    _spec(
        EVENTS,
        USER_MAP,
        "mysql",
        "What people did, partitioned by time. A revision's rows are replaced as a whole, with its `properties`, its "
        "`rejected_lines` and its row in the ledger `revisions`.\n\n[Tables and columns](docs/reference/tables.md), "
        "[queries](docs/how-to/query.md). The checks of all revisions are those of [warehouse](/assets/warehouse).",
    ),
    _spec(
        PROPERTIES,
        USER_MAP,
        "mysql",
        "The property values of events and people, partitioned by time. Loaded in one transaction with `events`."
        "\n\n[Tables and columns](docs/reference/tables.md), [queries](docs/how-to/query.md).",
    ),
]


def revision_assets(revisions_per_run: int) -> dg.AssetsDefinition:
    """Make the five assets. A backfill gives each run at most ``revisions_per_run`` revisions."""

    @dg.multi_asset(
        name="import_steps",
        specs=SPECS,
        check_specs=revision_checks.SPECS,
        partitions_def=REVISIONS,
        backfill_policy=dg.BackfillPolicy.multi_run(revisions_per_run),
        can_subset=True,
    )
    def import_steps(context: dg.AssetExecutionContext, kmdb: Kmdb) -> Iterator[dg.AssetCheckResult]:
        """Import the revisions of the run, step by step. A failed revision does not stop the others."""
        with _tagged_if_transient(context), kmdb.pipeline() as opened:
            if not context.selected_asset_keys:
                # Dagster runs checks alone without partitions: they check all imported revisions.
                yield from revision_checks.results(opened.warehouse.engine, context.selected_asset_check_keys, None)
                return
            revisions = revisions_of(context.partition_keys)
            context.instance.add_run_tags(context.run.run_id, {REVISIONS_TAG: describe_ranges(revisions)})
            try:
                failed = run_steps(context, opened, revisions)
            except PermanentError:
                # A planned check without a result is shown as failed. The database answers, so give one.
                yield from revision_checks.results(
                    opened.warehouse.engine, context.selected_asset_check_keys, revisions
                )
                raise
            if retry_transient(is_rule_pending)(opened.warehouse.engine, numeric_apart=opened.numeric_apart):
                context.log.warning("%s", RULE_IS_PENDING)
            good = [revision for revision in revisions if revision not in failed]
            yield from revision_checks.results(opened.warehouse.engine, context.selected_asset_check_keys, good)
        raise_if_failed(revisions, failed)

    return import_steps


@contextmanager
def _tagged_if_transient(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Tag a run that ends with a transient error, so that Dagster starts it again."""
    try:
        yield
    except TransientError:
        context.instance.add_run_tags(context.run.run_id, transient_tags(context.run))
        raise
