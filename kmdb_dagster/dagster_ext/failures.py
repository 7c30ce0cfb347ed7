"""Failures of runs: each failed revision with its reason, without personal data."""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import dagster as dg

from kmdb_dagster.errors import KmdbError

MAX_NAMED = 20


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
    return f"A defect of kmdb_dagster: {type(error).__name__} at {place}. Please report it. Running it again is safe."


@contextmanager
def as_dagster_failure() -> Iterator[None]:
    """Raise errors as a Dagster failure, so that the run's page shows their text first.

    Raises:
        dagster.Failure: not to be retried.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - raised again as a failure, without the text of a foreign error
        raise dg.Failure(describe_error(error), allow_retries=False) from None


def raise_if_failed(revisions: Sequence[int], failed: Mapping[int, Failed]) -> None:
    """Fail the run if revisions failed, and name them.

    Raises:
        dagster.Failure: not to be retried.
    """
    if not failed:
        return
    lines = [f"revision {revision}, {reason}" for revision, reason in sorted(failed.items())[:MAX_NAMED]]
    if len(failed) > MAX_NAMED:
        lines.append(f"… and {len(failed) - MAX_NAMED} more: see `kmdb status`")
    others = len(revisions) - len(failed)
    raise dg.Failure(
        f"{len(failed)} of {len(revisions)} revisions failed; the other {others} are imported.\n" + "\n".join(lines),
        metadata={"failed": sorted(failed), "succeeded": others},
        allow_retries=False,
    )
