"""Failures of runs: each failed revision with its reason, without personal data."""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import dagster as dg

from kmdb_dagster.alerting.incidents import SUMMARY
from kmdb_dagster.errors import KmdbError, RequestError

MAX_NAMED = 20

IMPORT_OUTSTANDING = "/locations/kmdb_dagster/jobs/import_outstanding"
"""The page of the job in Dagster's UI, whatever its address is."""

SEEN_BY_USER = "seen_by_user"
"""The metadata of a failure that no alert reports: of a dry run, or of what a user has typed wrongly."""


class Failed(NamedTuple):
    """A revision that failed: at which assets, and why."""

    at: str
    why: str

    def __str__(self) -> str:
        """Return both as text."""
        return f"{self.at}: {self.why}"


def describe_error(error: Exception) -> str:
    """Describe an error without personal data.

    The text of a foreign error may quote the data that caused it, so only its type and place are given.
    """
    if isinstance(error, KmdbError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "an unknown place"
    return f"Report this defect of kmdb_dagster: {type(error).__name__} at {place}. Running it again is safe."


@contextmanager
def as_dagster_failure(*, dry_run: bool = False) -> Iterator[None]:
    """Raise errors as a Dagster failure, so that the run's page shows their text first.

    Args:
        dry_run: The user waits for it and sees the error, so no alert reports it. Nor what the user has typed wrongly.

    Raises:
        dagster.Failure: not to be retried.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - raised again as a failure, without the text of a foreign error
        metadata = {SEEN_BY_USER: True} if dry_run or isinstance(error, RequestError) else {}
        raise dg.Failure(describe_error(error), metadata=metadata, allow_retries=False) from None


def raise_if_failed(revisions: Sequence[int], failed: Mapping[int, Failed]) -> None:
    """Fail the run if revisions failed, and name them: each with what to do first.

    Raises:
        dagster.Failure: not to be retried.
    """
    if not failed:
        return
    lines = [f"{reason.why} (revision {number}, {reason.at})" for number, reason in sorted(failed.items())[:MAX_NAMED]]
    if len(failed) > MAX_NAMED:
        lines.append(f"… and {len(failed) - MAX_NAMED} more: see `kmdb status`")
    raise dg.Failure(
        "\n".join([*lines, _summary(len(failed), len(revisions))]),
        metadata={
            "failed": sorted(failed),
            "succeeded": len(revisions) - len(failed),
            "repair": dg.MetadataValue.url(IMPORT_OUTSTANDING),
        },
        allow_retries=False,
    )


def _summary(failed: int, revisions: int) -> str:
    if revisions == 1:
        return f"{SUMMARY}the only one of the run."
    if failed == revisions:
        return f"{SUMMARY}all {revisions} of the run."
    others = "one is" if revisions - failed == 1 else f"{revisions - failed} are"
    return f"{SUMMARY}{failed} of {revisions}. The other {others} imported."
