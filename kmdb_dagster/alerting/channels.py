"""The channels of KMDB_ALERT_URLS: Apprise delivers, to all at once, and tries again for a while."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import apprise
from tenacity import RetryError, Retrying, retry_if_result, stop_after_attempt, wait_exponential

from kmdb_dagster.alerting.incidents import Message

apprise_log = logging.getLogger("apprise")

PLAIN = apprise.NotifyFormat.TEXT
"""What the messages are, so that Apprise escapes them in mails, which are HTML."""

ATTEMPTS = 4
"""With their waits of 1, 2 and 4 seconds they fit into a tick of a sensor, for which Dagster allows a minute."""


def send(urls: Sequence[str], message: Message) -> int:
    """Deliver a message to every channel. Returns how many of them did not take it."""
    channels = [_channel(url) for url in urls]
    with ThreadPoolExecutor(len(channels)) as executor:
        return sum(not taken for taken in executor.map(lambda channel: _deliver(channel, message), channels))


def _channel(url: str) -> apprise.Apprise:
    """A channel; one that Apprise does not know takes no message, and stands in the way of no other."""
    channel = apprise.Apprise()
    # It would write a URL that it does not know to the log, with the secret in it.
    apprise_log.disabled = True
    try:
        channel.add(url)
    finally:
        apprise_log.disabled = False
    return channel


def _deliver(channel: apprise.Apprise, message: Message) -> bool:
    retrying = Retrying(
        retry=retry_if_result(lambda taken: not taken),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(max=8),
    )
    try:
        return bool(
            retrying(
                channel.notify, title=message.title, body=message.body, notify_type=message.kind, body_format=PLAIN
            )
        )
    except RetryError:
        return False
