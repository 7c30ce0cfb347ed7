"""Runs that are started again: by Dagster at once, twice; by the sensor for as long as the cause is transient.

A run ends as transient when the database or the bucket was unavailable for longer than a step retries (two minutes).
An hour of maintenance is many such runs: they do not count against the limit for runs that were killed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import dagster as dg

from kmdb_dagster.dagster_ext.cursors import past

ENDED_TRANSIENT = "kmdb/ended_transient"
"""A run's own id, if it ended as transient. Dagster copies the tag to the run that it starts again, with the old id."""

MAX_RUNS = 5
"""Runs over the same content of the same range that ended early, but not as transient: they were killed."""

FIRST_PAUSE_SECONDS = 60
MAX_PAUSE_SECONDS = 900
"""After each run that ended as transient, the sensor waits twice as long before it asks for the range again."""


class Again(NamedTuple):
    """Whether the sensor asks for a range again."""

    never: bool
    """A person has canceled a run over it, or too many of them were killed."""
    not_before: float
    """In seconds since 1970."""


def transient_tags(run: dg.DagsterRun) -> dict[str, str]:
    """The tags of a run that ends as transient. One tells Dagster to start it again, although its step failed."""
    return {"dagster/retry_on_asset_or_op_failure": "true", ENDED_TRANSIENT: run.run_id}


def asked_again(earlier: Sequence[dg.RunRecord], now: float) -> Again:
    """Decide it from all runs over the same content of the range."""
    runs = [record.dagster_run for record in earlier]
    transient = [record for record in earlier if _ended_transient(record.dagster_run)]
    canceled = any(run.status is dg.DagsterRunStatus.CANCELED for run in runs)
    return Again(
        never=canceled or len(runs) - len(transient) >= MAX_RUNS,
        not_before=max((past(_end(record), now) for record in transient), default=0) + pause_seconds(len(transient)),
    )


def pause_seconds(transient_runs: int) -> float:
    """How long the sensor waits after so many runs that ended as transient."""
    if not transient_runs:
        return 0
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(transient_runs - 1, 10), MAX_PAUSE_SECONDS)


def _ended_transient(run: dg.DagsterRun) -> bool:
    return run.tags.get(ENDED_TRANSIENT) == run.run_id


def _end(record: dg.RunRecord) -> float:
    return record.end_time or record.update_timestamp.timestamp()
