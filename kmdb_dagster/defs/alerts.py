"""Tells people of failed runs, wherever KMDB_ALERT_URLS says."""

import logging
from collections.abc import Sequence

import apprise
import dagster as dg
from pydantic import SecretStr
from tenacity import RetryError, Retrying, retry_if_result, stop_after_attempt, wait_exponential

from kmdb_dagster.defs.import_runs import range_of
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError

apprise_log = logging.getLogger("apprise")

ATTEMPTS = 4
OURS = ("kmdb_dagster.", "dagster.")
"""Errors whose text is made for people."""


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
    """Deliver a message to every channel; one that does not take it is tried again a few times.

    Raises:
        PermanentError: a URL is none that Apprise knows, or a channel never took the message. Dagster shows it at
            the sensor's tick and does not try again.
    """
    channels = [_channel(url) for url in urls]
    undelivered = sum(not _deliver(channel, title, body) for channel in channels)
    if undelivered:
        raise PermanentError(
            f"{undelivered} of {len(channels)} alert channels (KMDB_ALERT_URLS) took no message. A URL is wrong, or "
            "who is behind it refuses. Expected e.g. mailto://… or json://…"
        )


def _channel(url: SecretStr) -> apprise.Apprise:
    """A channel; one that Apprise does not know takes no message, and stands in the way of no other."""
    channel = apprise.Apprise()
    # It would write a URL that it does not know to the log, with the secret in it.
    apprise_log.disabled = True
    try:
        channel.add(url.get_secret_value())
    finally:
        apprise_log.disabled = False
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
    found = range_of(run)
    # The job of a backfill is an internal one of Dagster's, which tells nobody anything.
    title = f"kmdb: the import of revisions {found[0]}..{found[1]} failed" if found else f"kmdb: {run.job_name} failed"
    reasons = [_reason(event) for event in context.get_step_failure_events()] or [context.failure_event.message or ""]
    return title, "\n\n".join([*reasons, link])


def _reason(event: dg.DagsterEvent) -> str:
    """The error itself, under the layers that Dagster wraps around it, for people."""
    error = getattr(event.event_specific_data, "error", None)
    while error is not None and error.cause is not None and error.cls_name.startswith("Dagster"):
        error = error.cause
    kind, _, words = (error.message if error else "").strip().partition(": ")
    # The text of other errors may quote a person's data, which does not go out by mail.
    return words if words and kind.startswith(OURS) else f"{event.step_key}: {kind or 'no reason given'}"
