"""The run queue that dagster.yaml names: Dagster's own, which also tags runs for its limits.

Imports have a concurrency limit of their own, so that other jobs do not wait for them. A dry run changes no table, so
it does not wait for a job that does.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from kmdb_dagster.dagster_ext.run_ranges import is_import

IMPORT_TAG = "kmdb/import"
"""Every run that imports revisions, however it was started."""

DDL_TAG = "kmdb/ddl"
"""Runs that change tables: one at a time."""
UNLESS_DRY_RUN = "unless_dry_run"
"""The value of `DDL_TAG` of a job that is a dry run by default."""
DRY_RUN = "dry_run"
"""The value of `DDL_TAG` of a dry run of another job."""
TRUE = "true"


class RunQueue(dg.QueuedRunCoordinator):
    """Dagster's run queue, with tags from what a run does."""

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Tag a run, and put it into the queue."""
        tags = limit_tags(context.dagster_run)
        if tags:
            self._instance.add_run_tags(context.dagster_run.run_id, tags)
        return super().submit_run(context)


def limit_tags(run: dg.DagsterRun) -> dict[str, str]:
    """Return the tags of a run by which dagster.yaml limits concurrency, beyond those of its job."""
    if is_import(run):
        return {IMPORT_TAG: TRUE}
    given = run.tags.get(DDL_TAG)
    if given is None:
        return {}
    if not _is_dry_run(run.run_config, default=given == UNLESS_DRY_RUN):
        return {DDL_TAG: TRUE}
    return {DDL_TAG: DRY_RUN} if given == TRUE else {}


def _is_dry_run(run_config: Mapping[str, Any], *, default: bool) -> bool:
    """Return whether the configuration of the ops asks for a dry run."""
    asked = [op.get("config", {}).get("dry_run", default) for op in run_config.get("ops", {}).values()]
    return all(asked) if asked else default
