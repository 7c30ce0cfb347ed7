"""Tells people what went wrong, and when it is well again, wherever KMDB_ALERT_URLS says.

One sensor looks at all of it and keeps in its cursor what is wrong now. A message that no channel takes is not lost:
the tick fails, where everybody can see it, and the next one tries again.
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
from kmdb_dagster.dagster_ext.run_outcomes import Ending
from kmdb_dagster.dagster_ext.run_ranges import ENDED
from kmdb_dagster.dagster_ext.sensor_state import objects_not_read, standing_still
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError

OVERLAP_SECONDS = 120
"""Runs whose end is written down late are still seen; which of them were seen before is remembered."""
MOST_RUNS = 1000

STALLED = "stalled"
NOT_READ = "not-read"
AWAKE_SECONDS = 600
"""For so long after the daemon was away, it is no wonder that nothing has moved."""

NONE_TOOK_IT = (
    "No alert channel (KMDB_ALERT_URLS) took a message; the next tick tries again. A URL is wrong, or who is behind it "
    "refuses. Expected e.g. mailto://… or json://…"
)


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells KMDB_ALERT_URLS (Apprise: mail, Slack, webhooks …) of failed runs, failed checks and an import "
    "that stands still, each once; and when it is over.",
)
def alerts(context: dg.SensorEvaluationContext, kmdb: Kmdb) -> dg.SensorResult:
    """A look at the runs that ended, their checks, and the sensor that imports."""
    now = time.time()
    cursor, edited = _cursor(context.cursor, now)
    settings = kmdb.settings()
    state: incidents.State = cursor["wrong"]
    for record in _ended_since(context.instance, cursor, now):
        Ending(context.instance, record, settings.ui_url).note(state)
    if now - cursor["awake_since"] >= AWAKE_SECONDS:
        still = standing_still(context.instance, now, settings.stalled_hours, settings.ui_url)
        incidents.keep(state, STALLED, still) if still else incidents.end(state, STALLED)
        not_read = objects_not_read(context.instance, now, settings.ui_url)
        incidents.keep(state, NOT_READ, not_read) if not_read else incidents.end(state, NOT_READ)
    if not settings.alert_urls:
        return _result({**cursor, "wrong": {}}, "KMDB_ALERT_URLS is not set.")
    message = incidents.news(state, now)
    words = f"Wrong now: {incidents.in_words(state)}." if state else "All is well."
    if message:
        refused = send([url.get_secret_value() for url in settings.alert_urls], message)
        if refused == len(settings.alert_urls):
            raise PermanentError(NONE_TOOK_IT)
        words = f"Told: {message.title}."
        if refused:
            words += f" {refused} of {len(settings.alert_urls)} alert channels (KMDB_ALERT_URLS) took no message."
            context.log.error(words)
    return _result(cursor, f"{words} {EDITED}" if edited else words)


def _cursor(text: str | None, now: float) -> tuple[dict[str, Any], bool]:
    """What the tick before left. ``awake_since`` is when Dagster's daemon was last started, or nearly."""
    found, edited = read_cursor(AlertCursor, text)
    slept = now - past(found.ticked_at, now) >= AWAKE_SECONDS
    cursor = {
        "seen_until": past(found.seen_until, now) or now,
        "seen": found.seen,
        "wrong": {key: trouble._asdict() for key, trouble in found.wrong.items()},
        "awake_since": now if slept else past(found.awake_since, now) or now,
        "ticked_at": now,
    }
    return cursor, edited


def _result(cursor: dict[str, Any], words: str) -> dg.SensorResult:
    return dg.SensorResult(cursor=json.dumps(cursor), skip_reason=dg.SkipReason(words))


def _ended_since(instance: dg.DagsterInstance, cursor: dict[str, Any], now: float) -> Iterator[dg.RunRecord]:
    """The runs that ended since the tick before, oldest first; notes down which."""
    since = cursor["seen_until"] - OVERLAP_SECONDS
    filters = dg.RunsFilter(statuses=ENDED, updated_after=datetime.fromtimestamp(since, UTC))
    records = instance.get_run_records(filters, limit=MOST_RUNS, order_by="update_timestamp", ascending=True)
    seen = set(cursor["seen"])
    # A run of long ago changes too, when somebody tags it.
    yield from (run for run in records if _short(run) not in seen and (run.end_time or 0) > since)
    if records:
        # Runs that ended while the clock was ahead come last, each time. Only those of now say how far this is.
        changed = [run.update_timestamp.replace(tzinfo=UTC).timestamp() for run in records]
        cursor["seen_until"] = max([at for at in changed if at <= now], default=cursor["seen_until"])
        cursor["seen"] = [_short(run) for run in records]


def _short(record: dg.RunRecord) -> str:
    return record.dagster_run.run_id[:8]
