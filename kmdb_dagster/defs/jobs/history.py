"""The job `purge_history`: deletes old runs and backfills from Dagster's history."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.dagster_ext.history_purge import purge_history as purge
from kmdb_dagster.dagster_ext.progress_log import ProgressLog
from kmdb_dagster.defs.resources import Kmdb


class PurgeOptions(dg.Config):
    """Options of `purge_history`."""

    dry_run: bool = Field(default=True, description="Only count the runs and backfills.")


@dg.op
def purge_old_runs(context: dg.OpExecutionContext, config: PurgeOptions, kmdb: Kmdb) -> None:
    """Purge what ended more than KMDB_KEEP_HISTORY_DAYS ago, unless this is a dry run."""
    with as_dagster_failure(dry_run=config.dry_run):
        before = datetime.now(UTC) - timedelta(days=kmdb.settings().keep_history_days)
        done = purge(context.instance, before, dry_run=config.dry_run, report=ProgressLog(context.log.info))
    counts = {"dry_run": config.dry_run, "ended_before": f"{before:%Y-%m-%d %H:%M} UTC", **done._asdict()}
    context.add_output_metadata(counts)


@dg.job(
    config=dg.RunConfig(ops={"purge_old_runs": PurgeOptions()}),
    description="Deletes runs with their events and compute logs, and backfills, that ended more than "
    "KMDB_KEEP_HISTORY_DAYS ago. The latest materialization of each partition stays, so the UI counts the same and "
    "nothing is imported again. A dry run counts them.",
)
def purge_history() -> None:
    """Purge old runs from Dagster's history."""
    purge_old_runs()
