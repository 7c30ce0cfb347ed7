"""Evaluate the sensors tick by tick, and count the requests that a bucket gets."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from kmdb_dagster.dagster_ext.cursors import ImportCursor, read_cursor
from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.sensors.alerts import alerts
from kmdb_dagster.defs.sensors.new_revisions import new_revisions
from kmdb_dagster.source import Bucket
from kmdb_dagster.source.bucket import StoredObject
from testing.buckets import FolderOfRevisions, event
from testing.runs import import_range


class Watch:
    """Evaluates the sensor as the daemon does, cursor and all."""

    def __init__(self, instance: dg.DagsterInstance, kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch) -> None:
        self._instance, self._kmdb = instance, kmdb
        self._cursor: str | None = None
        self._now = 1_400_000_000.0
        monkeypatch.setattr("kmdb_dagster.defs.sensors.new_revisions.time", SimpleNamespace(time=lambda: self._now))

    def pass_an_hour(self) -> None:
        """Advance the clock by an hour."""
        self._now += 3600

    def set_clock(self, now: float) -> None:
        """Set the clock, in seconds since 1970."""
        self._now = now

    def edit(self, cursor: str) -> None:
        """Edit the cursor, as the sensor's page does."""
        self._cursor = cursor

    def noted(self) -> ImportCursor:
        """Return the cursor of the latest tick."""
        return read_cursor(ImportCursor, self._cursor)[0]

    def tick(self) -> tuple[list[dg.RunRequest], str]:
        """Tick, and return the requested runs or the reason for none."""
        found = self._evaluate()
        if isinstance(found, dg.SkipReason):
            return [], str(found.skip_message)
        words = found.skip_reason.skip_message if isinstance(found.skip_reason, dg.SkipReason) else ""
        return list(found.run_requests or []), str(words)

    def observe(self) -> list[dg.AssetObservation]:
        """Tick, and return the observations that it makes."""
        found = self._evaluate()
        assert isinstance(found, dg.SensorResult)
        return [event for event in found.asset_events or [] if isinstance(event, dg.AssetObservation)]

    def _evaluate(self) -> dg.SensorResult | dg.SkipReason:
        context = dg.build_sensor_context(
            instance=self._instance, cursor=self._cursor, resources={"kmdb": self._kmdb}, sensor_name="new_revisions"
        )
        found = new_revisions(context)
        assert isinstance(found, dg.SensorResult | dg.SkipReason)
        if isinstance(found, dg.SensorResult):
            self._cursor = found.cursor
        return found

    def ranges(self) -> list[str]:
        """Tick, and return the requested ranges."""
        return [range_of(request) for request in self.tick()[0]]

    def carry_out(self, *requests: dg.RunRequest) -> None:
        """Execute requested runs, as the daemon does."""
        for request in requests:
            first, last = request.tags[RANGE_START], request.tags[RANGE_END]
            import_range(self._instance, self._kmdb, int(first), int(last), tags=dict(request.tags))


def range_of(request: dg.RunRequest) -> str:
    return f"{request.tags[RANGE_START]}..{request.tags[RANGE_END]}"


class CountingBucket:
    """Counts the requests that a bucket gets."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.url = bucket.url
        self.location = bucket.location
        self.requests = 0

    def objects(self) -> Iterator[StoredObject]:
        """Count a listing, which may be many requests."""
        raise AssertionError("the whole bucket was listed")

    def find(self, key: str) -> StoredObject | None:
        """Count a request."""
        self.requests += 1
        return self._bucket.find(key)

    def read(self, found: StoredObject) -> Iterator[bytes]:
        """Count a request."""
        self.requests += 1
        return self._bucket.read(found)


class HugeBucket(CountingBucket):
    """A bucket of very many revisions, for its listing only."""

    def __init__(self, bucket: Bucket, revisions: int) -> None:
        super().__init__(bucket)
        self._revisions = revisions

    def objects(self) -> Iterator[StoredObject]:
        """List the objects in the order of S3, by text."""
        names = sorted(f"revisions/{number}.json" for number in range(1, self._revisions + 1))
        return (StoredObject(name, "etag", 1) for name in names)


class AlertTicks:
    """Evaluates the sensor as the daemon does, cursor and all."""

    def __init__(self, instance: dg.DagsterInstance, kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch) -> None:
        self.instance, self._kmdb, self._patch = instance, kmdb, monkeypatch
        self._cursor: str | None = None
        self.later = 0.0
        monkeypatch.setattr("kmdb_dagster.defs.sensors.alerts.time", SimpleNamespace(time=self._now))
        self.tick()

    def _now(self) -> float:
        return time.time() + self.later

    def tick(self, *urls: str) -> str:
        """Tick, and return the message. Without URLs no alert is sent."""
        self._patch.setenv("KMDB_ALERT_URLS", " ".join(urls))
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self._cursor, resources={"kmdb": self._kmdb}, sensor_name="alerts"
        )
        found: Any = alerts(context)
        self._cursor = found.cursor
        return str(found.skip_reason.skip_message)


def fill(bucket: FolderOfRevisions, *revisions: int) -> None:
    """Write revisions with one event each."""
    for number in revisions:
        bucket.put(number, event("visited site"))
