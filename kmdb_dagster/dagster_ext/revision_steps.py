"""Runs the steps of the revisions of a run, and records each revision in Dagster's history and the ledger.

All steps are one Dagster step, because the revision is the unit of success. If they were several, one failed revision
would make Dagster skip the later steps of the whole range (docs/decisions/0001-one-step.md).
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import dagster as dg

from kmdb_dagster import pipeline
from kmdb_dagster.dagster_ext.asset_events import in_one_transaction
from kmdb_dagster.dagster_ext.asset_keys import EVENTS, PARSED_EVENTS, PROPERTIES, RAW_REVISIONS, USER_MAP
from kmdb_dagster.dagster_ext.failures import Failed, describe_error
from kmdb_dagster.errors import KmdbError, PermanentError, TransientError
from kmdb_dagster.km_export.layout import describe_ranges
from kmdb_dagster.lake import ParsedRevision
from kmdb_dagster.pipeline import Figures, Outcomes, Pipeline, StepResult, in_groups, run_step
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.source import BucketUnusableError
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.wording import named_ranges

log = logging.getLogger(__name__)

GROUPS_PER_MOVE = 8
"""Facts of merged people are moved after this number of groups, and at the end of the run."""


class RevisionStep(NamedTuple):
    """A step of a revision: the assets that it makes."""

    assets: tuple[dg.AssetKey, ...]

    @property
    def name(self) -> str:
        """The names of the assets."""
        return " and ".join(key.to_user_string() for key in self.assets)


FETCH = RevisionStep((RAW_REVISIONS,))
PARSE = RevisionStep((PARSED_EVENTS,))
RESOLVE = RevisionStep((USER_MAP,))
LOAD = RevisionStep((EVENTS, PROPERTIES))


class Prepared(NamedTuple):
    """A revision that is fetched and parsed, as far as these steps are selected."""

    weight: int
    """See `lake.ParsedRevision`."""
    parsed: ParsedRevision | None = None
    is_repaired: bool = False
    """Whether it was parsed for a later step, because its Parquet was missing."""


def run_steps(context: dg.AssetExecutionContext, opened: Pipeline, revisions: Sequence[int]) -> dict[int, Failed]:
    """Run the steps of the selected assets for each revision. A failed revision does not stop the others.

    A step whose input is missing is preceded by the steps that make it, so "Materialize… → Failed" repairs any asset.

    Revisions are resolved and loaded in groups. A group is loaded in a background thread, which mostly waits for the
    server, while the next group is fetched, parsed and resolved (docs/decisions/0042-groups-of-revisions.md).

    Args:
        context: of the run. It has the selected assets, and takes the events.
        opened: the pipeline.
        revisions: the revisions of the run, ascending.

    Returns:
        The failed revisions, each with its asset and reason.

    Raises:
        TransientError: the server or the bucket stays unavailable. Dagster starts the run again.
        PermanentError: the bucket cannot be used, so no other revision can be read either.
    """
    run = _Run(context, opened)
    with _background_loads(run, opened) as loads:
        for prepared in in_groups(run.prepare(revisions)):
            run.record_prepared()
            group = run.resolve(prepared)
            if group and run.selects(LOAD):
                loads.add(group)
    if run.selects(RESOLVE, LOAD):
        pipeline.apply_moves(opened)
    return run.failed


class _Run:
    """Runs steps and records their outcomes. For the main thread only."""

    def __init__(self, context: dg.AssetExecutionContext, opened: Pipeline) -> None:
        self._context = context
        self._pipeline = opened
        self._prepared: dict[RevisionStep, dict[int, StepResult]] = {FETCH: {}, PARSE: {}}
        self.failed: dict[int, Failed] = {}

    def selects(self, *steps: RevisionStep) -> bool:
        """Return whether an asset of these steps is selected."""
        return any(not self._context.selected_asset_keys.isdisjoint(step.assets) for step in steps)

    def prepare(self, revisions: Iterable[int]) -> Iterator[Prepared]:
        """Fetch and parse revisions, or open their Parquet. Those that fail are left out."""
        for revision in revisions:
            prepared = self._prepare(revision)
            if prepared is not None:
                yield prepared

    def record_prepared(self) -> None:
        """Record the revisions that were fetched or parsed since the last call."""
        with in_one_transaction(self._context.instance):
            for step, results in self._prepared.items():
                record_materializations(self._context, step, results)
                results.clear()

    def resolve(self, group: Sequence[Prepared]) -> list[ParsedRevision]:
        """Resolve the revisions of a group, if that is selected or repaired. Returns those that did not fail."""
        parsed = [each.parsed for each in group if each.parsed]
        wanted = [each.parsed for each in group if each.parsed and (each.is_repaired or self.selects(RESOLVE))]
        if wanted:
            outcomes = self.outcomes_of(RESOLVE, wanted, lambda: run_step(pipeline.resolve, self._pipeline, wanted))
            self.record(RESOLVE, outcomes)
        return [each for each in parsed if each.revision not in self.failed]

    def outcomes_of(
        self, step: RevisionStep, group: Sequence[ParsedRevision], work: Callable[[], Outcomes]
    ) -> Outcomes:
        """Do the work of a group, or wait for it. An error that ends the run says where it happened.

        Args:
            step: the step, for the message.
            group: the revisions, for the message.
            work: does the work, or waits for it.
        """
        try:
            return work()
        except (TransientError, BucketUnusableError) as error:
            raise _end_of_run(step, [parsed.revision for parsed in group], error) from error

    def record(self, step: RevisionStep, outcomes: Outcomes) -> None:
        """Record the outcome of a step for each revision."""
        results: dict[int, StepResult] = {}
        for revision, outcome in outcomes.items():
            if isinstance(outcome, Exception):
                self._fail(step, revision, outcome)
            else:
                results[revision] = outcome
        with in_one_transaction(self._context.instance):
            record_materializations(self._context, step, results)

    def _prepare(self, revision: int) -> Prepared | None:
        parsed = self._open_parsed(revision) if self.selects(RESOLVE, LOAD) and not self.selects(PARSE) else None
        is_missing = parsed is None and self.selects(RESOLVE, LOAD) and not self.selects(PARSE)
        is_to_parse = self.selects(PARSE) or is_missing
        prepared: Prepared | None = Prepared(0)
        if self.selects(FETCH) or is_missing or (is_to_parse and not pipeline.is_fetched(self._pipeline, revision)):
            prepared = self._run(FETCH, revision, self._fetch)
        if prepared and is_to_parse:
            prepared = self._run(PARSE, revision, self._parse)
            return prepared and prepared._replace(is_repaired=is_missing)
        return prepared and Prepared(parsed.weight if parsed else prepared.weight, parsed)

    def _run(
        self, step: RevisionStep, revision: int, work: Callable[[int], tuple[Figures, Prepared]]
    ) -> Prepared | None:
        """Run a step of one revision. Returns None if it failed."""
        started = time.monotonic()
        try:
            figures, prepared = work(revision)
        except (TransientError, BucketUnusableError) as error:
            raise _end_of_run(step, [revision], error) from error
        except Exception as error:  # noqa: BLE001 - a bad revision, or a defect that it triggers, stops no other
            self._fail(step, revision, error)
            return None
        self._prepared[step][revision] = StepResult(figures, time.monotonic() - started)
        return prepared

    def _fetch(self, revision: int) -> tuple[Figures, Prepared]:
        figures = pipeline.fetch(self._pipeline, revision)
        return figures, Prepared(int(figures["bytes"]))

    def _parse(self, revision: int) -> tuple[Figures, Prepared]:
        figures, parsed = pipeline.parse(self._pipeline, revision)
        return figures, Prepared(parsed.weight, parsed)

    def _open_parsed(self, revision: int) -> ParsedRevision | None:
        """Return the Parquet of a revision. None: it is missing or damaged, so it is made again."""
        try:
            return pipeline.open_parsed(self._pipeline, revision)
        except PermanentError:
            return None

    def _fail(self, step: RevisionStep, revision: int, error: Exception) -> None:
        self.failed[revision] = Failed(step.name, describe_error(error))
        retry_transient(ledger.record_failure)(self._pipeline.warehouse.engine, revision, str(self.failed[revision]))


class _BackgroundLoads:
    """Loads groups in a background thread, one after another. At most one group waits for the one before it."""

    def __init__(self, run: _Run, opened: Pipeline, thread: ThreadPoolExecutor) -> None:
        self._run = run
        self._pipeline = opened
        self._thread = thread
        self._groups = 0
        self._group: Sequence[ParsedRevision] = ()
        self._loading: Future[Outcomes] | None = None

    def add(self, group: Sequence[ParsedRevision]) -> None:
        """Load a group as soon as the one before it is loaded. Wait for that, and record it."""
        outcomes = self._finished()
        self._group, self._loading = group, self._thread.submit(run_step, pipeline.load, self._pipeline, group)
        self._groups += 1
        if self._groups % GROUPS_PER_MOVE == 0:
            # Between two loads: moves wait for rows that a load has locked.
            self._thread.submit(_apply_moves, self._pipeline)
        self._run.record(LOAD, outcomes)

    def finish(self) -> None:
        """Wait for the last group, and record it."""
        self._run.record(LOAD, self._finished())

    def _finished(self) -> Outcomes:
        loading, self._loading = self._loading, None
        return {} if loading is None else self._run.outcomes_of(LOAD, self._group, loading.result)


@contextmanager
def _background_loads(run: _Run, opened: Pipeline) -> Iterator[_BackgroundLoads]:
    """Open the thread. What was done is recorded at the end, also after an error and if the run is cancelled."""
    with ThreadPoolExecutor(1) as thread:
        loads = _BackgroundLoads(run, opened, thread)
        try:
            yield loads
        finally:
            run.record_prepared()
            loads.finish()


def _apply_moves(opened: Pipeline) -> None:
    """Move facts during the run. If that fails, the end of the run does it."""
    try:
        pipeline.apply_moves(opened)
    except KmdbError as error:
        log.warning("Facts were not moved to their person. The end of the run tries again. %s", error)


def _end_of_run(step: RevisionStep, revisions: Sequence[int], error: KmdbError) -> KmdbError:
    """Return the error that ends a run: of a service that is unavailable or cannot be used."""
    place = f"{named_ranges(describe_ranges(revisions))}, {step.name}"
    if isinstance(error, TransientError):
        return TransientError(
            f"Wait: Dagster starts this run again, twice at once, and the sensor for as long as that lasts. {error} It "
            f"did not pass in time, so the run ended here ({place}). What it had done is kept."
        )
    return PermanentError(
        f"{error} Then run import_outstanding. No other revision can be read either, so the run ended here "
        f"({place}). What it had done is kept."
    )


def record_materializations(
    context: dg.AssetExecutionContext, step: RevisionStep, results: Mapping[int, StepResult]
) -> None:
    """Record the assets of revisions as materialized, so that a killed run keeps what it did.

    Args:
        context: of the run, which takes the events.
        step: the step, with its assets.
        results: the result for each revision.
    """
    for revision, result in results.items():
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
