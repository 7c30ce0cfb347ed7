"""Edited cursors, and cursors with times in the future, count as none."""

import json
import time
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from kmdb_dagster.alerting.incidents import Incident
from kmdb_dagster.dagster_ext.cursors import EDITED, AlertCursor, Cursor, ImportCursor, read_cursor
from kmdb_dagster.dagster_ext.sensor_state import find_stalled_import
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.sensors.alerts import alerts
from testing.alert_receivers import Hook, serving
from testing.buckets import FolderOfRevisions, event
from testing.runs import leave_a_run
from testing.sensor_ticks import Watch, range_of

YEARS = 4e8
INCIDENT = Incident("realias", "failed", "why", "http://here", 0, [])._asdict()
EDITED_CURSORS = [
    "57",
    "{}",
    "null",
    "[]",
    '"abc"',
    "no JSON",
    '{"listed_at": "yesterday", "seen_until": "yesterday"}',
    '{"moved_at": null, "seen": null}',
    '{"left": [], "wrong": []}',
    '{"listed_at": NaN, "seen_until": NaN}',
    '{"moved_at": -1, "ticked_at": -1}',
]


@pytest.mark.parametrize("text", EDITED_CURSORS)
@pytest.mark.parametrize("kind", [ImportCursor, AlertCursor])
def test_an_edited_cursor_counts_as_none(kind: type[Cursor], text: str) -> None:
    assert read_cursor(kind, text) == (kind(), True)


@pytest.mark.parametrize(
    "wrong",
    [{"k": 57}, {"k": {}}, {"k": {**INCIDENT, "revisions": [[1]]}}, {"k": {**INCIDENT, "reported_at": "never"}}],
)
def test_a_cursor_with_an_invalid_incident_counts_as_none(wrong: dict[str, Any]) -> None:
    assert read_cursor(AlertCursor, json.dumps({"seen_until": 1, "wrong": wrong})) == (AlertCursor(), True)


def test_a_missing_cursor_is_not_reported_as_edited() -> None:
    assert read_cursor(ImportCursor, None) == (ImportCursor(), False)


@pytest.mark.parametrize("text", EDITED_CURSORS[::3])
def test_an_edited_cursor_makes_the_tick_list_the_bucket_and_report_it(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    watch = Watch(instance, kmdb, monkeypatch)
    bucket.put(1, event("visited site"))
    watch.carry_out(*watch.tick()[0])
    bucket.put(30, event("visited site"))
    watch.edit(text)
    requests, _ = watch.tick()
    assert [range_of(request) for request in requests] == ["2..30"]
    watch.carry_out(*requests)
    watch.edit(text)
    assert watch.tick()[1].endswith(EDITED)
    assert EDITED not in watch.tick()[1]


def test_a_listing_time_in_the_future_is_ignored(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(instance, kmdb, monkeypatch)
    bucket.put(1, event("visited site"))
    watch.carry_out(*watch.tick()[0])
    bucket.put(30, event("visited site"))
    watch.edit(json.dumps({"listed_at": 1.9e9, "done": 1, "left": 0, "moved_at": 1.9e9}))
    assert watch.ranges() == ["2..30"]


class AlertSensor:
    """The sensor `alerts`, with a cursor of the test's choice."""

    def __init__(self, instance: dg.DagsterInstance, kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch) -> None:
        self.instance, self._kmdb, self._patch = instance, kmdb, monkeypatch
        self.ahead = 0.0
        monkeypatch.setattr("kmdb_dagster.defs.sensors.alerts.time", SimpleNamespace(time=self._now))
        self.cursor: str | None = None

    def _now(self) -> float:
        return time.time() + self.ahead

    def tick(self, url: str = "") -> str:
        """What it says."""
        self._patch.setenv("KMDB_ALERT_URLS", url)
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"kmdb": self._kmdb}, sensor_name="alerts"
        )
        found: Any = alerts(context)
        self.cursor = found.cursor
        return str(found.skip_reason.skip_message)


@pytest.fixture
def alert_sensor(instance: dg.DagsterInstance, kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch) -> AlertSensor:
    return AlertSensor(instance, kmdb, monkeypatch)


@pytest.fixture
def hook() -> Hook:
    return Hook()


def fail_a_run(instance: dg.DagsterInstance) -> None:
    leave_a_run(instance, dg.DagsterRunStatus.STARTED, {"dagster/partition": "7"})
    instance.report_run_failed(instance.get_runs(limit=1)[0], "Its process is gone.")


@pytest.mark.parametrize("text", EDITED_CURSORS[::3])
def test_alerts_continue_with_an_edited_cursor_and_report_it(alert_sensor: AlertSensor, hook: Hook, text: str) -> None:
    alert_sensor.cursor = text
    with serving(hook):
        assert alert_sensor.tick(hook.url) == f"No open incidents. {EDITED}"
        fail_a_run(alert_sensor.instance)
        assert alert_sensor.tick(hook.url) == "Reported: kmdb: the import of revision 7 failed."


def test_a_clock_that_was_ahead_suppresses_no_alert(alert_sensor: AlertSensor, hook: Hook) -> None:
    with serving(hook):
        alert_sensor.ahead = YEARS
        alert_sensor.tick(hook.url)
        alert_sensor.ahead = 0
        fail_a_run(alert_sensor.instance)
        assert alert_sensor.tick(hook.url) == "Reported: kmdb: the import of revision 7 failed."
        cursor = json.loads(alert_sensor.cursor or "")
        assert max(cursor[name] for name in ("seen_until", "awake_since", "ticked_at")) <= time.time()


def test_an_incident_reported_in_the_future_is_reported_again_when_more_fails(
    alert_sensor: AlertSensor, hook: Hook
) -> None:
    with serving(hook):
        alert_sensor.tick(hook.url)
        alert_sensor.ahead = YEARS
        fail_a_run(alert_sensor.instance)
        alert_sensor.cursor = json.dumps({**json.loads(alert_sensor.cursor or ""), "seen_until": time.time() - 60})
        alert_sensor.tick(hook.url)
        alert_sensor.ahead = 0
        fail_a_run(alert_sensor.instance)
        alert_sensor.tick(hook.url)
        assert len(hook.taken) == 2


class Future:
    """A sensor whose latest good tick lies in the future, and that has not ticked since the clock was put right."""

    def all_instigator_state(self) -> list[SimpleNamespace]:
        """The sensors."""
        data = SimpleNamespace(cursor=json.dumps({"left": 7, "moved_at": 2e9}))
        names = {"instigator_name": "new_revisions", "instigator_origin_id": "o", "selector_id": "s"}
        return [SimpleNamespace(**names, instigator_data=data)]

    def get_ticks(self, *_: str, before: float = 1e12, after: float = 0, limit: int) -> list[SimpleNamespace]:
        """The ticks, the latest first."""
        ticks = [SimpleNamespace(timestamp=at, status=SimpleNamespace(value="SUCCESS"), error=None) for at in (2e9, 50)]
        return [tick for tick in ticks if after < tick.timestamp < before][:limit]


def test_an_import_is_stalled_if_its_sensor_last_ticked_in_the_future() -> None:
    found = find_stalled_import(Future(), 10_000, 2, "http://here")  # type: ignore[arg-type]  # a stand-in
    assert found
    assert "it does not tick" in found.text
