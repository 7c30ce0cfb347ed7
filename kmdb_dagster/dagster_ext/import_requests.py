"""Plans the runs that the sensor `new_revisions` requests: what is to be imported, held back, or paused."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import dagster as dg

from kmdb_dagster.dagster_ext.run_ranges import NEW_REVISIONS_PRIORITY, PRIORITY, RANGE_END, RANGE_START, ActiveImports
from kmdb_dagster.dagster_ext.run_retries import decide_retry
from kmdb_dagster.km_export.layout import describe_ranges
from kmdb_dagster.km_export.unread_keys import describe_unread
from kmdb_dagster.pipeline.bucket_scan import BucketScan
from kmdb_dagster.pipeline.outstanding import Outstanding, bridged_ranges
from kmdb_dagster.settings import Settings
from kmdb_dagster.warehouse.ledger.ledger import Status
from kmdb_dagster.wording import counted, range_text

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
    outstanding: Outstanding
    active: ActiveImports

    def left(self) -> int:
        """Count the revisions that are still to be imported, by active runs too. Failed ones wait for you."""
        return len(self.outstanding.new) + len(self.outstanding.changed)

    def done(self) -> int:
        """Count the revisions that need no import any more: imported, or never written by KM."""
        return sum(status.imported for status in self.statuses.values())

    def imported(self) -> int:
        """Count the imported revisions. Numbers that KM never wrote do not count."""
        return sum(status.imported and status.etag is not None for status in self.statuses.values())

    def describe(self) -> Iterator[str]:
        """Describe it, a sentence at a time."""
        yield f"Latest known revision: {self.partitions[-1]}." if self.partitions else "It has no revisions (yet)."
        listing, status = self.scan.listing, self.scan.status
        if listing and listing.gaps:
            missing = (number for first, last in listing.gaps for number in range(first, last + 1))
            yield f"Missing in it: {describe_ranges(missing)}."
        if changed := self.outstanding.changed:
            yield f"Changed since they were imported: {describe_ranges(changed)}."
        if gone := self.outstanding.missing:
            yield f"Imported before and now missing from the bucket: {describe_ranges(gone)}. Their facts are kept."
        if listing and (text := describe_unread(listing)):
            yield text
        if text := self.scan.describe_index():
            yield text
        if status and status.to_come:
            yield f"KissMetrics has {status.to_come} more to export."
        yield (
            f"{self.imported()} imported, {self.left()} still to be imported, {len(self.outstanding.failed)} failed, "
            f"{self.active.runs} runs active."
        )
        if self.active.backfilled:
            yield f"A backfill over {len(self.active.backfilled)} revisions is active."


class ImportRequests(NamedTuple):
    """The runs that a tick requests, and the ranges that it does not request although they are to be imported."""

    requests: list[dg.RunRequest]
    held: list[str]
    """They wait for you: you canceled a run, or runs were killed repeatedly."""
    paused: list[str]
    """The database or the bucket was unavailable. They are requested after a pause."""

    def describe(self) -> Iterator[str]:
        """Describe them, a sentence at a time."""
        yield f"Requested {counted(len(self.requests), 'run')}."
        if self.held:
            yield f"Runs over {_named(self.held)} ended early and are not requested again: run import_outstanding."
        if self.paused:
            yield f"Runs over {_named(self.paused)} met an unavailable server, and are requested again soon."


def plan_requests(
    instance: dg.DagsterInstance, state: ImportState, generation: str, settings: Settings, now: float
) -> ImportRequests:
    """Plan as many runs as there is room for (KMDB_RUNS_AHEAD). Ranges that are held or paused take no room.

    New revisions come first. Runs over changed revisions take no room from them, and start after them.

    Args:
        instance: Dagster's instance, whose earlier runs count.
        state: what the tick knows.
        generation: the generation of the database.
        settings: of the import.
        now: in seconds since 1970.
    """
    planner = _Planner(instance, state, generation, settings.revisions_per_run, now)
    room = settings.runs_ahead - state.active.new_runs
    planner.plan(state.outstanding.new, room, {PRIORITY: NEW_REVISIONS_PRIORITY})
    planner.plan(state.outstanding.changed, room - state.active.repeat_runs - len(planner.planned.requests), {})
    return planner.planned


class _Planner:
    """Plans the runs of one tick."""

    def __init__(
        self, instance: dg.DagsterInstance, state: ImportState, generation: str, max_size: int, now: float
    ) -> None:
        self._instance, self._state, self._now = instance, state, now
        self._generation, self._max_size = generation, max_size
        self._taken = {*state.active.under_way, *state.outstanding.missing}
        self.planned = ImportRequests([], [], [])

    def plan(self, revisions: Iterable[int], room: int, tags: Mapping[str, str]) -> None:
        """Plan up to ``room`` runs over these revisions.

        Args:
            revisions: the revisions to import. Those that are planned already or under way are left out.
            room: at most this many runs are planned.
            tags: the tags of each run, beside its range.
        """
        wanted = set(revisions) - self._taken
        end = len(self.planned.requests) + room
        for first, last in bridged_ranges(wanted, self._state.statuses, self._taken, self._max_size):
            if len(self.planned.requests) >= end:
                break
            self._plan_range(first, last, self._key(first, last), tags)
            self._taken.update(range(first, last + 1))

    def _plan_range(self, first: int, last: int, key: str, tags: Mapping[str, str]) -> None:
        earlier = self._instance.get_run_records(dg.RunsFilter(tags={REQUESTED_CONTENT: key}))
        decision = decide_retry(earlier, self._now)
        if decision.never:
            self.planned.held.append(range_text(first, last))
        elif self._now < decision.not_before:
            self.planned.paused.append(range_text(first, last))
        else:
            tags = {**tags, RANGE_START: str(first), RANGE_END: str(last), REQUESTED_CONTENT: key}
            # If a tick is repeated, Dagster starts no second run of the same key.
            self.planned.requests.append(dg.RunRequest(run_key=f"{key}/{len(earlier)}", tags=tags))

    def _key(self, first: int, last: int) -> str:
        """Return the key of a range's content. Of the revisions in it, only the ETags of changed ones count."""
        changed = self._state.outstanding.changed
        content = "\n".join(changed[number] for number in range(first, last + 1) if number in changed)
        # The range comes first: Dagster's list of runs shows only the beginning of a tag.
        return f"{first}..{last}/{self._generation}/{sha256(content.encode()).hexdigest()[:16]}"


def _named(ranges: Sequence[str]) -> str:
    return ", ".join(ranges[:MAX_RANGES_NAMED]) + (", …" if len(ranges) > MAX_RANGES_NAMED else "")
