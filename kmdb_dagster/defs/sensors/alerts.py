"""The sensor `alerts`: reports incidents to the channels of KMDB_ALERT_URLS.

Its cursor keeps the open incidents. If no channel accepts a message, the tick fails and the next one retries it.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from kmdb_dagster.alerting import incidents
from kmdb_dagster.alerting.channels import send
from kmdb_dagster.dagster_ext.cursors import EDITED, AlertCursor, past, read_cursor
from kmdb_dagster.dagster_ext.run_outcomes import RunOutcome
from kmdb_dagster.dagster_ext.run_ranges import ENDED
from kmdb_dagster.dagster_ext.sensor_state import find_stalled_import, find_unread_objects
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.sensors.tick_log import skip
from kmdb_dagster.errors import PermanentError

OVERLAP_SECONDS = 120
"""Finds runs whose end was recorded late. The cursor keeps which runs were seen already."""
MAX_RUNS_PER_TICK = 1000

STALLED = "stalled"
NOT_READ = "not-read"
GRACE_PERIOD_SECONDS = 600
"""Grace period after a daemon restart, before a stalled import is reported."""

ALL_REFUSED = (
    "No alert channel (KMDB_ALERT_URLS) accepted a message; the next tick retries it. Check the URLs and the services "
    "behind them. Expected e.g. mailto://… or json://…"
)


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports failed runs, failed checks and a stalled import to KMDB_ALERT_URLS (Apprise: mail, Slack, "
    "webhooks …): once when an incident begins, and once when it is resolved.",
)
def alerts(context: dg.SensorEvaluationContext, kmdb: Kmdb) -> dg.SensorResult:
    """Read the runs that ended, their checks, and the state of the sensor `new_revisions`."""
    now = time.time()
    cursor, edited = _cursor(context.cursor, now)
    settings = kmdb.settings()
    state: incidents.State = cursor["wrong"]
    for record in _ended_since(context.instance, cursor, now):
        RunOutcome(context.instance, record, settings.ui_url).update(state)
    if now - cursor["awake_since"] >= GRACE_PERIOD_SECONDS:
        stalled = find_stalled_import(context.instance, now, settings.stalled_hours, settings.ui_url)
        incidents.open_once(state, STALLED, stalled) if stalled else incidents.resolve(state, STALLED)
        unread = find_unread_objects(context.instance, now, settings.ui_url)
        incidents.open_once(state, NOT_READ, unread) if unread else incidents.resolve(state, NOT_READ)
    if not settings.alert_urls:
        return _result(context, {**cursor, "wrong": {}}, "KMDB_ALERT_URLS is not set.")
    message = incidents.take_message(state, now)
    text = f"Open incidents: {incidents.describe(state)}." if state else "No open incidents."
    if message:
        refused = send([url.get_secret_value() for url in settings.alert_urls], message)
        if refused == len(settings.alert_urls):
            raise PermanentError(ALL_REFUSED)
        text = f"Reported: {message.title}."
        if refused:
            text += f" {refused} of {len(settings.alert_urls)} alert channels (KMDB_ALERT_URLS) accepted no message."
            context.log.error(text)
    return _result(context, cursor, f"{text} {EDITED}" if edited else text)


def _cursor(text: str | None, now: float) -> tuple[dict[str, Any], bool]:
    """Read the cursor. ``awake_since`` is about when Dagster's daemon was last started."""
    found, edited = read_cursor(AlertCursor, text)
    slept = now - past(found.ticked_at, now) >= GRACE_PERIOD_SECONDS
    cursor = {
        "seen_until": past(found.seen_until, now) or now,
        "seen": found.seen,
        "wrong": {key: incident._asdict() for key, incident in found.wrong.items()},
        "awake_since": now if slept else past(found.awake_since, now) or now,
        "ticked_at": now,
    }
    return cursor, edited


def _result(context: dg.SensorEvaluationContext, cursor: dict[str, Any], text: str) -> dg.SensorResult:
    return dg.SensorResult(cursor=json.dumps(cursor), skip_reason=skip(context, text))


def _ended_since(instance: dg.DagsterInstance, cursor: dict[str, Any], now: float) -> Iterator[dg.RunRecord]:
    """Yield the runs that ended since the last tick, oldest first, and record them in the cursor."""
    since = cursor["seen_until"] - OVERLAP_SECONDS
    filters = dg.RunsFilter(statuses=ENDED, updated_after=datetime.fromtimestamp(since, UTC))
    records = instance.get_run_records(filters, limit=MAX_RUNS_PER_TICK, order_by="update_timestamp", ascending=True)
    seen = set(cursor["seen"])
    # An old run is updated too when a user tags it.
    yield from (run for run in records if _short(run) not in seen and (run.end_time or 0) > since)
    if records:
        # Runs that ended while the clock was ahead come last in every tick. They do not move the watermark.
        updated = [run.update_timestamp.replace(tzinfo=UTC).timestamp() for run in records]
        cursor["seen_until"] = max([at for at in updated if at <= now], default=cursor["seen_until"])
        cursor["seen"] = [_short(run) for run in records]


def _short(record: dg.RunRecord) -> str:
    return record.dagster_run.run_id[:8]
