"""Retry transient errors with backoff: the policy for each step of a revision, and for commands.

Requests to S3 have retries of their own within an attempt (``dagster_ext/s3_resource.py``), and so has DDL that
waits for a lock (``warehouse/connection/server.py``). The table *Retries* of docs/reference/dagster.md has all of them.
"""

import logging

from tenacity import RetryCallState, retry, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from kmdb_dagster.errors import TransientError

MAX_ATTEMPTS = 9
MAX_WAIT_SECONDS = 60.0
"""Between two attempts. All waits together take about two minutes, enough for a restart of the database server."""

log = logging.getLogger(__name__)


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("%s Trying again (attempt %d of %d).", error, state.attempt_number + 1, MAX_ATTEMPTS)


# Longer outages are left to the run's own retry.
retry_transient = retry(
    retry=retry_if_exception_type(TransientError),
    stop=stop_after_attempt(MAX_ATTEMPTS),
    wait=wait_exponential_jitter(multiplier=0.5, max=MAX_WAIT_SECONDS),
    before_sleep=_log_retry,
    reraise=True,
)
"""Call the decorated function again after a `TransientError`. Other errors, and the last one, are raised."""
