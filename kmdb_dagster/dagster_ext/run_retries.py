"""Retries of runs: twice at once by Dagster, then by the sensor for as long as the cause is transient.

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
"""How many runs over the same content of the same range may be killed (end early, but not as transient)."""

FIRST_PAUSE_SECONDS = 60
MAX_PAUSE_SECONDS = 900
"""After each run that ended as transient, the sensor waits twice as long before it requests the range again."""


class RetryDecision(NamedTuple):
    """Whether and when the sensor requests a range again."""

    never: bool
    """A user canceled a run over it, or too many were killed."""
    not_before: float
    """In seconds since 1970."""


def transient_tags(run: dg.DagsterRun) -> dict[str, str]:
    """Return the tags of a run that ends as transient. One makes Dagster retry it although its step failed."""
    return {"dagster/retry_on_asset_or_op_failure": "true", ENDED_TRANSIENT: run.run_id}


def decide_retry(earlier: Sequence[dg.RunRecord], now: float) -> RetryDecision:
    """Decide from all earlier runs over the same content of the range.

    Args:
        earlier: those runs, in any order.
        now: in seconds since 1970.
    """
    runs = [record.dagster_run for record in earlier]
    transient = [record for record in earlier if _ended_transient(record.dagster_run)]
    canceled = any(run.status is dg.DagsterRunStatus.CANCELED for run in runs)
    return RetryDecision(
        never=canceled or len(runs) - len(transient) >= MAX_RUNS,
        not_before=max((past(_end(record), now) for record in transient), default=0) + pause_seconds(len(transient)),
    )


def pause_seconds(transient_runs: int) -> float:
    """Return how long the sensor waits after this many runs that ended as transient."""
    if not transient_runs:
        return 0
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(transient_runs - 1, 10), MAX_PAUSE_SECONDS)


def _ended_transient(run: dg.DagsterRun) -> bool:
    return run.tags.get(ENDED_TRANSIENT) == run.run_id


def _end(record: dg.RunRecord) -> float:
    return record.end_time or record.update_timestamp.timestamp()
