"""Watches the bucket: new revisions become partitions, and runs over ranges of them."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import dagster as dg

from kmdb_dagster.dagster_ext.cursors import EDITED, ImportCursor, past, read_cursor
from kmdb_dagster.dagster_ext.partition_registry import register, registered
from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START, Waiting, waiting
from kmdb_dagster.dagster_ext.run_retries import asked_again
from kmdb_dagster.defs.jobs import import_revisions
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import MissingSettingError
from kmdb_dagster.km_export.layout import chunks, ranges_in_words
from kmdb_dagster.km_export.unread_keys import unread_in_words
from kmdb_dagster.pipeline import bucket_scan
from kmdb_dagster.settings import Settings
from kmdb_dagster.source import Bucket
from kmdb_dagster.warehouse.connection.bindings import check_bucket
from kmdb_dagster.warehouse.ledger import ledger

FULL_LISTING_SECONDS = 3600
"""Between two full listings, which find what gaps and the look-ahead hide, and what was changed."""

ASKED_FOR = "kmdb/asked_for"
"""The tag by which the runs that were asked for over the same content of the same range are found again."""

MOST_NAMED = 5


class Tick(NamedTuple):
    """All that a tick knows: what was seen in the bucket, the partitions, the ledger, what is under way."""

    scan: bucket_scan.BucketScan
    known: Sequence[int]
    statuses: Mapping[int, ledger.Status]
    waiting: Waiting

    def wanted(self) -> list[int]:
        """The revisions to ask for."""
        if self.waiting.backfill:
            # Somebody asked for a range: what it will come to is not known here, so nothing is asked for twice.
            return []
        changed = set(bucket_scan.changed(self.scan, self.statuses)) - self.waiting.revisions
        return sorted({*bucket_scan.never_attempted(self.known, self.statuses, self.waiting.revisions), *changed})

    def left(self) -> int:
        """How many revisions are still to come in, under way or not. Those that failed wait for a person."""
        new = bucket_scan.never_attempted(self.known, self.statuses, ())
        return len(new) + len(bucket_scan.changed(self.scan, self.statuses))

    def words(self) -> Iterator[str]:
        """What the tick says of what it saw."""
        yield f"It is known up to revision {self.known[-1]}." if self.known else "It has no revisions (yet)."
        listing, status = self.scan.listing, self.scan.status
        if listing and listing.gaps:
            missing = (number for first, last in listing.gaps for number in range(first, last + 1))
            yield f"Missing in it: {ranges_in_words(missing)}."
        if changed := bucket_scan.changed(self.scan, self.statuses):
            yield f"Changed since they were imported: {ranges_in_words(changed)}."
        if gone := bucket_scan.missing_from_bucket(self.scan, self.statuses):
            yield f"Imported before and no longer there: {ranges_in_words(gone)}; what was imported of it is kept."
        if listing and (words := unread_in_words(listing)):
            yield words
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
    before, edited = read_cursor(ImportCursor, context.cursor)
    listed_at = past(before.listed_at, time.time())
    known = registered(context.instance)
    everywhere = not known or time.time() - listed_at >= FULL_LISTING_SECONDS
    scan = _look(bucket, settings, known, everywhere=everywhere)
    under_way = waiting(context.instance)
    with kmdb.warehouse(whole_tables=False) as warehouse:
        check_bucket(warehouse.engine, bucket.location)
        if scan.etags:
            register(context.instance, warehouse, min(scan.etags), max(scan.etags))
            known = registered(context.instance)
        tick = Tick(scan, known, ledger.statuses(warehouse.engine), under_way)
        asked = _requests(context.instance, tick, warehouse.generation(), settings)
    requests = asked.requests
    words = " ".join([f"{bucket.url}:", *tick.words(), *asked.words(), *([EDITED] if edited else [])])
    context.log.info(words)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else dg.SkipReason(words),
        cursor=json.dumps(
            {
                "listed_at": int(time.time()) if everywhere else listed_at,
                "unread": unread_in_words(scan.listing) if scan.listing else before.unread,
                **_progress(before, tick),
            }
        ),
    )


def _progress(before: ImportCursor, tick: Tick) -> dict[str, float]:
    """How far the import is, and when it last moved: the sensor `alerts` reads it here."""
    now = {"done": sum(status.imported for status in tick.statuses.values()), "left": tick.left()}
    moved = not now["left"] or (before.done, before.left) != (now["done"], now["left"])
    return {**now, "moved_at": (0 if moved else past(before.moved_at, time.time())) or int(time.time())}


def _look(bucket: Bucket, settings: Settings, known: Sequence[int], *, everywhere: bool) -> bucket_scan.BucketScan:
    if everywhere:
        return bucket_scan.list_bucket(bucket, settings.min_revision)
    return bucket_scan.probe_ahead(bucket, known[-1], settings.revision_lookahead)


def _ranges(tick: Tick, generation: str, settings: Settings) -> Iterator[tuple[str, int, int]]:
    """The contiguous ranges to ask for, each with its key, first and last revision."""
    for first, last in chunks(tick.wanted(), settings.revisions_per_run):
        # A changed file makes another key; one that was never in does not need to be told from itself.
        etags = [tick.scan.etags.get(number, "") for number in range(first, last + 1) if number in tick.statuses]
        content = sha256("\n".join(etags).encode()).hexdigest()[:16]
        # The range comes first: it is all of the tag that the list of runs has room for.
        yield f"{first}..{last}/{generation}/{content}", first, last


class Asked(NamedTuple):
    """The runs that a tick asks for, and the ranges that it does not ask for although they are not in."""

    requests: list[dg.RunRequest]
    left: list[str]
    """They wait for a person: one canceled a run, or runs were killed again and again."""
    paused: list[str]
    """The database or the bucket was unavailable. They are asked for after a pause."""

    def words(self) -> Iterator[str]:
        """What the tick says of it."""
        yield f"Asking for {len(self.requests)} runs."
        if self.left:
            yield f"Runs over {_named(self.left)} ended early and are not asked for again: `kmdb import` does that."
        if self.paused:
            yield f"Runs over {_named(self.paused)} met a server that was unavailable, and are asked for again soon."


def _named(ranges: Sequence[str]) -> str:
    return ", ".join(ranges[:MOST_NAMED]) + (", …" if len(ranges) > MOST_NAMED else "")


def _requests(instance: dg.DagsterInstance, tick: Tick, generation: str, settings: Settings) -> Asked:
    """Runs, as many as there is room for. Ranges that are not asked for take no room."""
    room = max(0, settings.runs_ahead - tick.waiting.runs)
    asked = Asked([], [], [])
    for key, first, last in _ranges(tick, generation, settings):
        if len(asked.requests) == room:
            break
        earlier = instance.get_run_records(dg.RunsFilter(tags={ASKED_FOR: key}))
        again = asked_again(earlier, time.time())
        if again.never:
            asked.left.append(f"{first}..{last}")
        elif time.time() < again.not_before:
            asked.paused.append(f"{first}..{last}")
        else:
            tags = {RANGE_START: str(first), RANGE_END: str(last), ASKED_FOR: key}
            # Should a tick be repeated, Dagster starts no second run of the same key.
            asked.requests.append(dg.RunRequest(run_key=f"{key}/{len(earlier)}", tags=tags))
    return asked


SENSORS = [new_revisions]
