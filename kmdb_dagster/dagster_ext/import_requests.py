"""Plans the runs that the sensor `new_revisions` requests: what is to be imported, held back, or paused."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import dagster as dg

from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START, ActiveImports
from kmdb_dagster.dagster_ext.run_retries import decide_retry
from kmdb_dagster.km_export.layout import chunks, describe_ranges
from kmdb_dagster.km_export.unread_keys import describe_unread
from kmdb_dagster.pipeline.bucket_scan import BucketScan, changed, missing_from_bucket, never_attempted
from kmdb_dagster.settings import Settings
from kmdb_dagster.warehouse.ledger.ledger import Status

REQUESTED_CONTENT = "kmdb/asked_for"
"""The tag that finds all runs requested for the same content of the same range."""

MAX_RANGES_NAMED = 5


class ImportState(NamedTuple):
    """What a tick of the sensor knows."""

    scan: BucketScan
    partitions: Sequence[int]
    """The revisions that are partitions, ascending."""
    statuses: Mapping[int, Status]
    """The ledger, by revision."""
    active: ActiveImports

    def wanted(self) -> list[int]:
        """List the revisions to request: new ones and changed ones that no active run takes."""
        if self.active.backfill:
            # Which runs a requested backfill will start is not known here, so request nothing beside it.
            return []
        new = never_attempted(self.partitions, self.statuses, self.active.revisions)
        return sorted({*new, *(set(changed(self.scan, self.statuses)) - self.active.revisions)})

    def left(self) -> int:
        """Count the revisions that are still to be imported, by active runs too. Failed ones wait for you."""
        return len(never_attempted(self.partitions, self.statuses, ())) + len(changed(self.scan, self.statuses))

    def imported(self) -> int:
        """Count the imported revisions."""
        return sum(status.imported for status in self.statuses.values())

    def describe(self) -> Iterator[str]:
        """Describe it, a sentence at a time."""
        yield f"Latest known revision: {self.partitions[-1]}." if self.partitions else "It has no revisions (yet)."
        listing, status = self.scan.listing, self.scan.status
        if listing and listing.gaps:
            missing = (number for first, last in listing.gaps for number in range(first, last + 1))
            yield f"Missing in it: {describe_ranges(missing)}."
        if different := changed(self.scan, self.statuses):
            yield f"Changed since they were imported: {describe_ranges(different)}."
        if gone := missing_from_bucket(self.scan, self.statuses):
            yield f"Imported before and now missing from the bucket: {describe_ranges(gone)}. Their facts are kept."
        if listing and (text := describe_unread(listing)):
            yield text
        if status and status.to_come:
            yield f"KissMetrics has {status.to_come} more to export."
        failed = sum(status.failed for status in self.statuses.values())
        yield f"{self.imported()} imported, {failed} failed, {self.active.runs} runs active."
        if self.active.backfill:
            yield "A backfill is active: waiting until it ends."


class ImportRequests(NamedTuple):
    """The runs that a tick requests, and the ranges that it does not request although they are to be imported."""

    requests: list[dg.RunRequest]
    held: list[str]
    """They wait for you: you canceled a run, or runs were killed repeatedly."""
    paused: list[str]
    """The database or the bucket was unavailable. They are requested after a pause."""

    def describe(self) -> Iterator[str]:
        """Describe them, a sentence at a time."""
        yield f"Requested {len(self.requests)} runs."
        if self.held:
            yield f"Runs over {_named(self.held)} ended early and are not requested again: run `kmdb import`."
        if self.paused:
            yield f"Runs over {_named(self.paused)} met an unavailable server, and are requested again soon."


def plan_requests(
    instance: dg.DagsterInstance, state: ImportState, generation: str, settings: Settings, now: float
) -> ImportRequests:
    """Plan as many runs as there is room for (KMDB_RUNS_AHEAD). Ranges that are held or paused take no room.

    Args:
        instance: Dagster's instance, whose earlier runs count.
        state: what the tick knows.
        generation: the generation of the database.
        settings: of the import.
        now: in seconds since 1970.
    """
    room = max(0, settings.runs_ahead - state.active.runs)
    planned = ImportRequests([], [], [])
    for key, first, last in _ranges(state, generation, settings):
        if len(planned.requests) == room:
            break
        earlier = instance.get_run_records(dg.RunsFilter(tags={REQUESTED_CONTENT: key}))
        decision = decide_retry(earlier, now)
        if decision.never:
            planned.held.append(f"{first}..{last}")
        elif now < decision.not_before:
            planned.paused.append(f"{first}..{last}")
        else:
            tags = {RANGE_START: str(first), RANGE_END: str(last), REQUESTED_CONTENT: key}
            # If a tick is repeated, Dagster starts no second run of the same key.
            planned.requests.append(dg.RunRequest(run_key=f"{key}/{len(earlier)}", tags=tags))
    return planned


def _ranges(state: ImportState, generation: str, settings: Settings) -> Iterator[tuple[str, int, int]]:
    """Yield the consecutive ranges to request: the key of the content, the first and the last revision."""
    for first, last in chunks(state.wanted(), settings.revisions_per_run):
        # Only revisions that were attempted can have changed, so only their ETags are part of the key.
        attempted = (number for number in range(first, last + 1) if number in state.statuses)
        content = "\n".join(state.scan.etags.get(number, "") for number in attempted)
        # The range comes first: Dagster's list of runs shows only the beginning of a tag.
        yield f"{first}..{last}/{generation}/{sha256(content.encode()).hexdigest()[:16]}", first, last


def _named(ranges: Sequence[str]) -> str:
    return ", ".join(ranges[:MAX_RANGES_NAMED]) + (", …" if len(ranges) > MAX_RANGES_NAMED else "")
