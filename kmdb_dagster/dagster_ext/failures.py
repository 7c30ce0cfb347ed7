"""What a run says when it fails: each revision with its reason, in words, without anything of a person."""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import dagster as dg

from kmdb_dagster.errors import KmdbError

MOST_NAMED = 20


class Failed(NamedTuple):
    """A revision that did not come in: at which assets, and why."""

    at: str
    why: str

    def __str__(self) -> str:
        """Both, for people."""
        return f"{self.at}: {self.why}"


def in_words(error: Exception) -> str:
    """An error for people.

    The text of an error that is not ours may quote what it choked on, so only its kind and place are given.
    """
    if isinstance(error, KmdbError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "an unknown place"
    return f"A defect of kmdb_dagster: {type(error).__name__} at {place}. Please report it. Running it again is safe."


@contextmanager
def plainly() -> Iterator[None]:
    """An error as the run's own failure: words come first on the run's page, not below Dagster's layers.

    Raises:
        dagster.Failure: not to be retried.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - it goes on as a failure; the text of a foreign one stays here
        raise dg.Failure(in_words(error), allow_retries=False) from None


def raise_for(revisions: Sequence[int], failed: Mapping[int, Failed]) -> None:
    """Fail the run if there are failed revisions, naming them.

    Raises:
        dagster.Failure: not to be retried.
    """
    if not failed:
        return
    lines = [f"revision {revision}, {words}" for revision, words in sorted(failed.items())[:MOST_NAMED]]
    if len(failed) > MOST_NAMED:
        lines.append(f"… and {len(failed) - MOST_NAMED} more: see `kmdb status`")
    others = len(revisions) - len(failed)
    raise dg.Failure(
        f"{len(failed)} of {len(revisions)} revisions failed; the other {others} are in.\n" + "\n".join(lines),
        metadata={"failed": sorted(failed), "succeeded": others},
        allow_retries=False,
    )
