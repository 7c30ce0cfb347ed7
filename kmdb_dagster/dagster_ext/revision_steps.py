"""Runs the steps of the revisions of a run, and records each revision in Dagster's history and the ledger.

All steps are one Dagster step, because the revision is the unit of success. If they were several, one failed revision
would make Dagster skip the later steps of the whole range (docs/decisions/0001-one-step.md).
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import dagster as dg

from kmdb_dagster import pipeline
from kmdb_dagster.dagster_ext.asset_events import in_one_transaction
from kmdb_dagster.dagster_ext.asset_keys import EVENTS, PARSED_EVENTS, PROPERTIES, RAW_REVISIONS, USER_MAP
from kmdb_dagster.dagster_ext.failures import Failed, describe_error
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.pipeline import Pipeline
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.source import BucketUnusableError
from kmdb_dagster.warehouse.ledger import ledger


class RevisionStep(NamedTuple):
    """A step of a revision, and the assets that it makes."""

    assets: tuple[dg.AssetKey, ...]
    run: Callable[[Pipeline, int], pipeline.Figures]

    @property
    def name(self) -> str:
        """The names of the assets."""
        return " and ".join(key.to_user_string() for key in self.assets)


class StepResult(NamedTuple):
    """What a step reports of a revision, and how long it took."""

    figures: pipeline.Figures
    seconds: float


FETCH = RevisionStep((RAW_REVISIONS,), pipeline.fetch)
PARSE = RevisionStep((PARSED_EVENTS,), pipeline.parse)
LOAD = RevisionStep((EVENTS, PROPERTIES), pipeline.load)
STEPS = (
    FETCH,
    PARSE,
    RevisionStep((USER_MAP,), pipeline.resolve),
    LOAD,
)


def run_steps(context: dg.AssetExecutionContext, opened: Pipeline, revisions: Sequence[int]) -> dict[int, Failed]:
    """Run the steps of the selected assets for each revision. A failed revision does not stop the others.

    A step whose input is missing is preceded by the steps that make it, so "Materialize… → Failed" repairs any asset.

    Loads run in a background thread, which mostly waits for the server. Identity resolution runs ahead of them, so
    few facts have to be moved afterwards (docs/decisions/0011-loads-in-the-background.md).

    Returns:
        The failed revisions, each with its asset and reason.

    Raises:
        TransientError: the server or the bucket stays unavailable. Dagster starts the run again.
        PermanentError: the bucket cannot be used, so no other revision can be read either.
    """
    selected = [step for step in STEPS if not context.selected_asset_keys.isdisjoint(step.assets)]
    record = _Record(context, opened)
    with _background_thread() as loader:
        loads: deque[tuple[int, Future[StepResult]]] = deque()
        for revision in revisions:
            with in_one_transaction(context.instance):
                for step in _steps_of(opened, revision, selected):
                    # Skip the steps after one that failed.
                    if step is not LOAD and revision not in record.failed:
                        record.outcome(step, revision, partial(_timed, step, opened, revision))
            if LOAD in selected and revision not in record.failed:
                loads.append((revision, loader.submit(_timed, LOAD, opened, revision)))
            while loads and loads[0][1].done():
                _record_load(record, *loads.popleft())
        for revision, load in loads:
            _record_load(record, revision, load)
    return record.failed


def _steps_of(opened: Pipeline, revision: int, selected: Sequence[RevisionStep]) -> Sequence[RevisionStep]:
    """Return the selected steps, and before them the steps that make a missing input."""
    if selected[0] in STEPS[2:] and not pipeline.is_parsed(opened, revision):
        return STEPS
    if selected[0] is PARSE and not pipeline.is_fetched(opened, revision):
        return (FETCH, *selected)
    return selected


def _record_load(record: "_Record", revision: int, load: "Future[StepResult]") -> None:
    record.outcome(LOAD, revision, load.result)


@contextmanager
def _background_thread() -> Iterator[ThreadPoolExecutor]:
    """Open a thread for background work. After an error, work that has not started is dropped."""
    executor = ThreadPoolExecutor(1)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def _timed(step: RevisionStep, opened: Pipeline, revision: int) -> StepResult:
    started = time.monotonic()
    return StepResult(step.run(opened, revision), time.monotonic() - started)


class _Record:
    """Records the outcome of each revision in Dagster's history and the ledger. For the main thread only."""

    def __init__(self, context: dg.AssetExecutionContext, opened: Pipeline) -> None:
        self._context = context
        self._engine = opened.warehouse.engine
        self.failed: dict[int, Failed] = {}

    def outcome(self, step: RevisionStep, revision: int, work: Callable[[], StepResult]) -> None:
        """Run the work, or wait for its end, and record the outcome."""
        try:
            result = work()
        except TransientError as error:
            raise TransientError(
                f"Revision {revision}, {step.name}: {error} That did not pass in time, so the run ends here. What it "
                "had done is kept. Dagster starts it again, twice at once, and the sensor for as long as that lasts."
            ) from error
        except BucketUnusableError as error:
            raise PermanentError(
                f"Revision {revision}, {step.name}: {error} No other revision can be read either, so the run ends "
                "here. What it had done is kept. Materialize the rest when this is fixed."
            ) from error
        except Exception as error:  # noqa: BLE001 - a bad revision, or a defect that it triggers, stops no other
            self.failed[revision] = Failed(step.name, describe_error(error))
            retry_transient(ledger.record_failure)(self._engine, revision, str(self.failed[revision]))
        else:
            with in_one_transaction(self._context.instance):
                record_materializations(self._context, step, revision, result)


def record_materializations(
    context: dg.AssetExecutionContext, step: RevisionStep, revision: int, result: StepResult
) -> None:
    """Record the assets of a revision as materialized at once, so that a killed run keeps what it did."""
    figures = result.figures
    rows = figures.get("rows", figures.get("lines"))
    speed = {"rows_per_second": round(rows / result.seconds)} if isinstance(rows, int) and result.seconds else {}
    for key in step.assets:
        count = figures.get(key.to_user_string()) if key in LOAD.assets else rows
        context.log_event(
            dg.AssetMaterialization(
                key,
                partition=str(revision),
                metadata={
                    **figures,
                    **speed,
                    "seconds": round(result.seconds, 4),
                    **({"dagster/partition_row_count": count} if isinstance(count, int) else {}),
                },
            )
        )
