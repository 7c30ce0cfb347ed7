"""Which limits of dagster.yaml a run falls under."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from kmdb_dagster.dagster_ext.run_queue import RunQueue, limit_tags
from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START
from kmdb_dagster.defs.jobs.people import realias_job
from kmdb_dagster.defs.jobs.tables import drop_partitions, partition_tables
from testing.runs import leave_a_run

RANGE = {RANGE_START: "1", RANGE_END: "9"}


def run(
    tags: Mapping[str, str], *, assets: tuple[str, ...] = (), run_config: Mapping[str, Any] | None = None
) -> dg.DagsterRun:
    selection = frozenset(map(dg.AssetKey, assets))
    return dg.DagsterRun("job", tags=tags, asset_selection=selection or None, run_config=run_config)


@pytest.mark.parametrize("tags", [RANGE, {"dagster/partition": "5"}])
@pytest.mark.parametrize("assets", [(), ("events",)])
def test_every_run_over_revisions_is_an_import(tags: Mapping[str, str], assets: tuple[str, ...]) -> None:
    assert limit_tags(run(tags, assets=assets)) == {"kmdb/import": "true"}


def test_runs_without_revisions_are_no_import() -> None:
    assert limit_tags(run({})) == {}
    assert limit_tags(run({}, assets=("import_report",))) == {}


@pytest.mark.parametrize("job", [drop_partitions, partition_tables])
def test_a_dry_run_waits_for_no_job_that_changes_tables_and_the_same_job_does_without_it(job: dg.JobDefinition) -> None:
    (op,) = (node.name for node in job.nodes)
    for config, expected in ({}, {}), ({"dry_run": True}, {}), ({"dry_run": False}, {"kmdb/ddl": "true"}):
        assert limit_tags(run(job.tags, run_config={"ops": {op: {"config": config}}})) == expected


@pytest.mark.parametrize("tag", ["true", "dry_run"])
def test_a_dry_run_of_realias_waits_for_no_job_that_changes_tables_and_realias_does(tag: str) -> None:
    (op,) = (node.name for node in realias_job.nodes)
    for config, expected in ({}, "true"), ({"dry_run": False}, "true"), ({"dry_run": True}, "dry_run"):
        tagged = run({"kmdb/ddl": tag}, run_config={"ops": {op: {"config": config}}})
        assert {**tagged.tags, **limit_tags(tagged)} == {"kmdb/ddl": expected}
    assert limit_tags(run(realias_job.tags)) == {"kmdb/ddl": "true"}


@pytest.fixture
def queued(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance whose runs go through the queue."""
    overrides = {"run_coordinator": {"module": "kmdb_dagster.dagster_ext.run_queue", "class": "RunQueue"}}
    with dg.instance_for_test(overrides=overrides, temp_dir=str(tmp_path)) as made:
        yield made


def test_a_run_that_is_put_into_the_queue_is_tagged(queued: dg.DagsterInstance) -> None:
    assert isinstance(queued.run_coordinator, RunQueue)
    queued.add_dynamic_partitions("km_revision", ["1", "9"])
    left = leave_a_run(queued, dg.DagsterRunStatus.STARTED, RANGE)
    context: Any = SimpleNamespace(dagster_run=left)
    queued.run_coordinator.submit_run(context)
    found = queued.get_run_by_id(left.run_id)
    assert found is not None
    assert found.tags["kmdb/import"] == "true"
