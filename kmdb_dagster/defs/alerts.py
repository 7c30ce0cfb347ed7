"""Tells people of failed runs, wherever KMDB_ALERT_URLS says."""

import logging
from collections.abc import Sequence

import apprise
import dagster as dg
from pydantic import SecretStr
from tenacity import RetryError, Retrying, retry_if_result, stop_after_attempt, wait_exponential

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError

log = logging.getLogger(__name__)

RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
ATTEMPTS = 4


@dg.run_failure_sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends a message for each failed run to KMDB_ALERT_URLS (Apprise: mail, Slack, webhooks …).",
)
def alert_of_failed_runs(context: dg.RunFailureSensorContext, kmdb: Kmdb) -> dg.SkipReason | None:
    """One message a failed run; none for a run that Dagster will try again."""
    settings = kmdb.settings()
    if not settings.alert_urls:
        return dg.SkipReason("KMDB_ALERT_URLS is not set.")
    if context.dagster_run.tags.get("dagster/will_retry") == "true":
        return dg.SkipReason("Dagster will try this run again.")
    link = f"{settings.ui_url.rstrip('/')}/runs/{context.dagster_run.run_id}"
    send(settings.alert_urls, *_message(context, link))
    return None


def send(urls: Sequence[SecretStr], title: str, body: str) -> None:
    """Deliver a message to every channel; one that does not take it is logged and tried again a few times.

    Raises:
        PermanentError: a URL is none that Apprise knows, or a channel never took the message. Dagster shows it at
            the sensor's tick and does not try again.
    """
    channels = [_channel(url) for url in urls]
    undelivered = sum(not _deliver(channel, title, body) for channel in channels)
    if undelivered:
        raise PermanentError(f"{undelivered} of {len(channels)} alert channels (KMDB_ALERT_URLS) took no message.")


def _channel(url: SecretStr) -> apprise.Apprise:
    channel = apprise.Apprise()
    if not channel.add(url.get_secret_value()):
        raise PermanentError(
            "KMDB_ALERT_URLS holds a URL that Apprise does not know. Expected e.g. mailto://… or json://…"
        )
    return channel


def _deliver(channel: apprise.Apprise, title: str, body: str) -> bool:
    retrying = Retrying(
        retry=retry_if_result(lambda taken: not taken),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(max=8),
    )
    try:
        return bool(retrying(channel.notify, title=title, body=body, notify_type=apprise.NotifyType.FAILURE))
    except RetryError:
        return False


def _message(context: dg.RunFailureSensorContext, link: str) -> tuple[str, str]:
    run = context.dagster_run
    first, last = (run.tags.get(tag) or run.tags.get("dagster/partition") for tag in RANGE_TAGS)
    scope = f", revisions {first}..{last}" if first else ""
    reasons = [_reason(event) for event in context.get_step_failure_events()] or [context.failure_event.message or ""]
    return f"kmdb: {run.job_name} failed{scope}", "\n\n".join([*reasons, link])


def _reason(event: dg.DagsterEvent) -> str:
    """The error itself, under the layers that Dagster wraps around it."""
    error = getattr(event.event_specific_data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    return f"{event.step_key}: {error.message.strip() if error else 'no reason given'}"
