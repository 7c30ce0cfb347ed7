"""Watches the bucket: new revisions become partitions, and runs over ranges of them."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import NamedTuple

import dagster as dg

from kmdb_dagster.defs.assets import KEYS
from kmdb_dagster.defs.jobs import import_revisions
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.revisions import register, registered
from kmdb_dagster.errors import MissingSettingError
from kmdb_dagster.export.layout import chunks
from kmdb_dagster.pipeline import watch
from kmdb_dagster.settings import Settings
from kmdb_dagster.source import Bucket
from kmdb_dagster.warehouse import ledger

FULL_LISTING_SECONDS = 3600
"""Between two full listings, which find what gaps and the look-ahead hide, and what was changed."""

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class Waiting(NamedTuple):
    """What Dagster is doing already: import runs, the revisions in them, and whether a backfill goes on."""

    runs: int
    revisions: set[int]
    backfill: bool


class Tick(NamedTuple):
    """All that a tick knows: what was seen in the bucket, the partitions, the ledger, what is under way."""

    sighting: watch.Sighting
    known: Sequence[int]
    statuses: Mapping[int, ledger.Status]
    waiting: Waiting

    def wanted(self) -> list[int]:
        """The revisions to ask for."""
        if self.waiting.backfill:
            # Somebody asked for a range: what it will come to is not known here, so nothing is asked for twice.
            return []
        changed = set(watch.changed(self.sighting, self.statuses)) - self.waiting.revisions
        return sorted({*watch.untouched(self.known, self.statuses, self.waiting.revisions), *changed})

    def words(self) -> Iterator[str]:
        """What the tick says of what it saw."""
        yield f"It is known up to revision {self.known[-1]}." if self.known else "It has no revisions (yet)."
        listing, status = self.sighting.listing, self.sighting.status
        if listing and listing.gaps:
            gaps = (str(first) if first == last else f"{first}..{last}" for first, last in listing.gaps[:5])
            yield f"Missing in it: {', '.join(gaps)}."
        if listing and listing.strange:
            yield f"{len(listing.strange)} objects under revisions/ have names that KissMetrics does not give."
        if status and status.to_come:
            yield f"KissMetrics has {status.to_come} more to export."
        done = sum(status.imported for status in self.statuses.values())
        failed = sum(status.failed for status in self.statuses.values())
        yield f"{done} are in, {failed} failed, {self.waiting.runs} runs are under way."
        if self.waiting.backfill:
            yield "A backfill is going on: waiting for its end."


@dg.sensor(
    job=import_revisions,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks for new revisions in the bucket and asks for runs over them, a few at a time.",
)
def new_revisions(context: dg.SensorEvaluationContext, kmdb: Kmdb) -> dg.SensorResult | dg.SkipReason:
    """A look at the bucket."""
    try:
        settings, bucket = kmdb.settings(), kmdb.bucket()
        settings.required_database()
    except MissingSettingError as error:
        return dg.SkipReason(str(error))
    listed_at = json.loads(context.cursor or "{}").get("listed_at", 0)
    known = registered(context.instance)
    everywhere = not known or time.time() - listed_at >= FULL_LISTING_SECONDS
    sighting = _look(bucket, settings, known, everywhere=everywhere)
    waiting = _waiting(context.instance)
    with kmdb.warehouse() as warehouse:
        if sighting.etags:
            register(context.instance, warehouse, min(sighting.etags), max(sighting.etags))
            known = registered(context.instance)
        tick = Tick(sighting, known, ledger.statuses(warehouse.engine), waiting)
        requests = list(_requests(tick, warehouse.generation(), settings))
    words = " ".join([f"{bucket.url}:", *tick.words(), f"Asking for {len(requests)} runs."])
    context.log.info(words)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else dg.SkipReason(words),
        cursor=json.dumps({"listed_at": int(time.time()) if everywhere else listed_at}),
    )


def _look(bucket: Bucket, settings: Settings, known: Sequence[int], *, everywhere: bool) -> watch.Sighting:
    if everywhere:
        return watch.look_everywhere(bucket, settings.min_revision)
    return watch.look_ahead(bucket, known[-1], settings.revision_lookahead)


def _waiting(instance: dg.DagsterInstance) -> Waiting:
    runs = [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY))
        if run.asset_selection is None or not run.asset_selection.isdisjoint(KEYS)
    ]
    ranges = [_range_of(run) for run in runs]
    revisions = {number for first, last in ranges for number in range(first, last + 1)}
    backfills = [backfill for backfill in instance.get_backfills(limit=20) if backfill.status.value == "REQUESTED"]
    return Waiting(sum(1 for first, last in ranges if last), revisions, bool(backfills))


def _range_of(run: dg.DagsterRun) -> tuple[int, int]:
    """The revisions of a run; 1..0, which is none, for a run of something else."""
    first = run.tags.get(RANGE_START) or run.tags.get(PARTITION, "")
    last = run.tags.get(RANGE_END) or run.tags.get(PARTITION, "")
    return (int(first), int(last)) if first.isdecimal() and last.isdecimal() else (1, 0)


def _requests(tick: Tick, generation: str, settings: Settings) -> Iterator[dg.RunRequest]:
    """Runs over contiguous ranges, as many as there is room for."""
    room = max(0, settings.runs_ahead - tick.waiting.runs)
    for first, last in islice(chunks(tick.wanted(), settings.revisions_per_run), room):
        etags = [tick.sighting.etags.get(number, "") for number in range(first, last + 1)]
        content = sha256("\n".join(etags).encode()).hexdigest()[:16]
        yield dg.RunRequest(
            # Dagster starts no second run of the same key: what failed waits for a person, not for the next tick.
            run_key=f"{generation}/{first}-{last}/{content}",
            tags={RANGE_START: str(first), RANGE_END: str(last)},
        )


SENSORS = [new_revisions]
