"""Real runs on an instance, in this process."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import dagster as dg

from kmdb_dagster.dagster_ext.partition_registry import register
from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START
from kmdb_dagster.definitions import definitions
from kmdb_dagster.defs.resources import Kmdb


def import_range(
    instance: dg.DagsterInstance,
    kmdb: Kmdb,
    first: int,
    last: int,
    *,
    only: list[str] | None = None,
    tags: Mapping[str, str] | None = None,
    job: str = "import_revisions",
) -> dg.ExecuteInProcessResult:
    """Run the import over a range of revisions, of all five assets or of some."""
    with kmdb.warehouse() as warehouse:
        register(instance, warehouse, first, last)
    return _job(job).execute_in_process(
        instance=instance,
        tags={RANGE_START: str(first), RANGE_END: str(last), **(tags or {})},
        asset_selection=[dg.AssetKey(name) for name in only] if only else None,
        raise_on_error=False,
    )


def run_job(
    instance: dg.DagsterInstance, name: str, run_config: Mapping[str, object] | None = None, only: str | None = None
) -> dg.ExecuteInProcessResult:
    """Run a job or one step of it, with the configuration of its Launchpad unless another is given."""
    return _job(name).execute_in_process(
        instance=instance, run_config=run_config, raise_on_error=False, op_selection=[only] if only else None
    )


def output_metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Return the metadata of the one output of a run."""
    (event,) = (event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_OUTPUT)
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """Return the failure of the failed step of a run, with all that Dagster records of it."""
    (event,) = (event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_FAILURE)
    return str(event.event_specific_data)


def leave_a_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: Mapping[str, str]) -> dg.DagsterRun:
    """Create a run of the import with this status."""
    return instance.create_run_for_job(_job("import_revisions"), status=status, tags=tags)


@cache
def _job(name: str) -> dg.JobDefinition:
    """Return a job, resolved without the settings of a test."""
    return definitions().resolve_job_def(name)
