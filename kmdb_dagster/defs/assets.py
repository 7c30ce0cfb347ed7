"""The five assets of a revision, as rows of the lineage graph, and the step that makes them.

They are made in one Dagster step because the revision is the unit of success: were they five steps, a failed
revision would fail its step, and Dagster would skip the steps behind it for the whole range
(docs/decisions/0001-one-step.md).
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
from kmdb_dagster.dagster_ext import asset_keys
from kmdb_dagster.dagster_ext.failures import Failed, in_words, raise_for
from kmdb_dagster.dagster_ext.partition_registry import REVISIONS, revisions_of
from kmdb_dagster.dagster_ext.run_retries import transient_tags
from kmdb_dagster.defs import revision_checks
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.pipeline import Pipeline
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.source import BucketUnusableError
from kmdb_dagster.warehouse.identity.rules import RULE_WAITS, rule_waits
from kmdb_dagster.warehouse.ledger import ledger

OWNERS = ["team:data"]

BUCKET = dg.AssetSpec(
    "kissmetrics_bucket",
    description="What KissMetrics writes: `revisions/N.json`, one JSON object a line. Not made by us; the sensor "
    "`new_revisions` watches it.",
    group_name="source",
    kinds={"s3", "json"},
    owners=OWNERS,
)


def _spec(key: dg.AssetKey, upstream: dg.AssetKey | str, group: str, kinds: set[str], description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        deps=[upstream],
        description=description,
        group_name=group,
        kinds=kinds,
        owners=OWNERS,
        # No output, no event of Dagster's own: what was made of which revision is told one by one.
        skippable=True,
    )


RAW = _spec(
    asset_keys.RAW_REVISIONS,
    "kissmetrics_bucket",
    "lake",
    {"json"},
    "The file of a revision as KM wrote it, pinned by its ETag. A number that KM never wrote is empty and says so.",
)
PARSED = _spec(
    asset_keys.PARSED_EVENTS,
    asset_keys.RAW_REVISIONS,
    "lake",
    {"parquet"},
    "Every line of a revision as records, one Parquet file: events, property sets, aliases, and what was refused "
    "with the reason.",
)
USER_MAP = _spec(
    asset_keys.USER_MAP,
    asset_keys.PARSED_EVENTS,
    "warehouse",
    {"mysql"},
    "The dealiased user map: identity → person. A revision's names go to `keys` and `users`, its aliases to "
    "`aliases`; the map is brought up to date with them, and facts follow.",
)
EVENTS = _spec(
    asset_keys.EVENTS,
    asset_keys.USER_MAP,
    "warehouse",
    {"mysql"},
    "What people did, partitioned by time. A revision's rows are replaced as a whole, with its `properties`, its "
    "`rejected_lines` and its row in the ledger `revisions`.",
)
PROPERTIES = _spec(
    asset_keys.PROPERTIES,
    asset_keys.USER_MAP,
    "warehouse",
    {"mysql"},
    "The values that events and people were given, partitioned by time. Loaded in one transaction with `events`.",
)


class Stage(NamedTuple):
    """A step of a revision, and the assets that it makes."""

    specs: tuple[dg.AssetSpec, ...]
    run: Callable[[Pipeline, int], pipeline.Figures]

    @property
    def name(self) -> str:
        """The assets for people."""
        return " and ".join(spec.key.to_user_string() for spec in self.specs)


class Done(NamedTuple):
    """What a stage had to say of a revision, and how long it took."""

    figures: pipeline.Figures
    seconds: float


LOAD = Stage((EVENTS, PROPERTIES), pipeline.load)
STAGES = (Stage((RAW,), pipeline.fetch), Stage((PARSED,), pipeline.parse), Stage((USER_MAP,), pipeline.resolve), LOAD)
SPECS = [spec for stage in STAGES for spec in stage.specs]


def revision_assets(revisions_per_run: int) -> dg.AssetsDefinition:
    """The five assets; backfills give each run so many revisions."""

    @dg.multi_asset(
        name="bring_in_revisions",
        specs=SPECS,
        check_specs=revision_checks.SPECS,
        partitions_def=REVISIONS,
        backfill_policy=dg.BackfillPolicy.multi_run(revisions_per_run),
        can_subset=True,
    )
    def bring_in_revisions(context: dg.AssetExecutionContext, kmdb: Kmdb) -> Iterator[dg.AssetCheckResult]:
        """Bring the revisions of the run in, stage by stage; one that fails does not stop the others."""
        with _worth_trying_again(context), kmdb.pipeline() as opened:
            if not context.selected_asset_keys:
                # The checks alone, which Dagster runs without partitions: they look at all that is in.
                yield from revision_checks.results(opened.warehouse.engine, context.selected_asset_check_keys, None)
                return
            revisions = revisions_of(context.partition_keys)
            failed = _run_stages(context, opened, revisions)
            if retry_transient(rule_waits)(opened.warehouse.engine, numeric_apart=opened.numeric_apart):
                context.log.warning("%s", RULE_WAITS)
            good = [revision for revision in revisions if revision not in failed]
            yield from revision_checks.results(opened.warehouse.engine, context.selected_asset_check_keys, good)
            raise_for(revisions, failed)

    return bring_in_revisions


@contextmanager
def _worth_trying_again(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Where the server or the bucket is away, for every revision, the run ends, and Dagster starts it again."""
    try:
        yield
    except TransientError:
        context.instance.add_run_tags(context.run.run_id, transient_tags(context.run))
        raise


def _run_stages(context: dg.AssetExecutionContext, opened: Pipeline, revisions: Sequence[int]) -> dict[int, Failed]:
    """Prepare one revision after another; loads follow in a thread of their own, which mostly waits for the server.

    Ties run ahead of loads, so few facts have to follow somebody (docs/decisions/0011-loads-in-the-background.md).
    """
    chosen = [stage for stage in STAGES if not context.selected_asset_keys.isdisjoint(spec.key for spec in stage.specs)]
    record = _Record(context, opened)
    with _one_thread() as loader:
        loads: deque[tuple[int, Future[Done]]] = deque()
        for revision in revisions:
            # Not all(): a stage whose revision failed before is not run.
            for stage in chosen:
                if stage is not LOAD and revision not in record.failed:
                    record.outcome(stage, revision, partial(_timed, stage, opened, revision))
            if LOAD in chosen and revision not in record.failed:
                loads.append((revision, loader.submit(_timed, LOAD, opened, revision)))
            while loads and loads[0][1].done():
                _record_load(record, *loads.popleft())
        for revision, load in loads:
            _record_load(record, revision, load)
    return record.failed


def _record_load(record: "_Record", revision: int, load: "Future[Done]") -> None:
    record.outcome(LOAD, revision, load.result)


@contextmanager
def _one_thread() -> Iterator[ThreadPoolExecutor]:
    """A thread for what is to be done in the background. At an error, what waits for it is left undone."""
    executor = ThreadPoolExecutor(1)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def _timed(stage: Stage, opened: Pipeline, revision: int) -> Done:
    started = time.monotonic()
    return Done(stage.run(opened, revision), time.monotonic() - started)


class _Record:
    """What becomes of the revisions of a run, told to Dagster and the ledger. For the main thread only."""

    def __init__(self, context: dg.AssetExecutionContext, opened: Pipeline) -> None:
        self._context = context
        self._engine = opened.warehouse.engine
        self.failed: dict[int, Failed] = {}

    def outcome(self, stage: Stage, revision: int, work: Callable[[], Done]) -> None:
        """Do it, or wait for its end, and record how it went."""
        try:
            done = work()
        except TransientError as error:
            raise TransientError(
                f"Revision {revision}, {stage.name}: {error} That did not pass in time, so the run ends here. What it "
                "had done is kept. Dagster starts it again, twice at once, and the sensor for as long as that lasts."
            ) from error
        except BucketUnusableError as error:
            raise PermanentError(
                f"Revision {revision}, {stage.name}: {error} No other revision can be read either, so the run ends "
                "here. What it had done is kept. Materialize the rest when this is fixed."
            ) from error
        except Exception as error:  # noqa: BLE001 - one bad revision, or a defect that it meets, stops no other
            self.failed[revision] = Failed(stage.name, in_words(error))
            retry_transient(ledger.record_failure)(self._engine, revision, str(self.failed[revision]))
        else:
            _tell(self._context, stage, revision, done.figures, done.seconds)


def _tell(
    context: dg.AssetExecutionContext, stage: Stage, revision: int, figures: pipeline.Figures, seconds: float
) -> None:
    """Record a revision as materialized, at once: a run that is killed keeps what it had done."""
    rows = figures.get("rows", figures.get("lines"))
    speed = {"rows_per_second": round(rows / seconds)} if isinstance(rows, int) and seconds else {}
    for spec in stage.specs:
        name = spec.key.to_user_string()
        count = figures.get(name) if name in {"events", "properties"} else rows
        context.log_event(
            dg.AssetMaterialization(
                spec.key,
                partition=str(revision),
                metadata={
                    **figures,
                    **speed,
                    "seconds": round(seconds, 4),
                    **({"dagster/row_count": count} if isinstance(count, int) else {}),
                },
            )
        )
