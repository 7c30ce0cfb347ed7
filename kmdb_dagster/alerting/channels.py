"""The channels of KMDB_ALERT_URLS. Apprise delivers to all in parallel, with retries."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tenacity import RetryError, Retrying, retry_if_result, stop_after_attempt, wait_exponential

from kmdb_dagster.alerting.incidents import Message

if TYPE_CHECKING:
    from apprise import Apprise

apprise_log = logging.getLogger("apprise")

PLAIN = "text"
"""The format of the messages: Apprise then escapes them in mails, which are HTML."""

MAX_ATTEMPTS = 4
"""With their waits of 1, 2 and 4 seconds they fit into a tick of a sensor, for which Dagster allows a minute."""


def send(urls: Sequence[str], message: Message) -> int:
    """Deliver a message to every channel.

    Returns:
        How many channels did not accept it.
    """
    channels = [_channel(url) for url in urls]
    with ThreadPoolExecutor(len(channels)) as executor:
        return sum(not accepted for accepted in executor.map(lambda channel: _deliver(channel, message), channels))


def _channel(url: str) -> "Apprise":
    """Open a channel. An unknown URL makes a channel that accepts no message, and does not affect the others."""
    import apprise  # noqa: PLC0415 - only a message needs it

    channel = apprise.Apprise()
    # Apprise would log an unknown URL, with the secret in it.
    apprise_log.disabled = True
    try:
        channel.add(url)
    finally:
        apprise_log.disabled = False
    return channel


def _deliver(channel: "Apprise", message: Message) -> bool:
    retrying = Retrying(
        retry=retry_if_result(lambda accepted: not accepted),
        stop=stop_after_attempt(MAX_ATTEMPTS),
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
