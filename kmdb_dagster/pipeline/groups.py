"""Groups of revisions: what one transaction resolves or loads. The revision stays the unit of success."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from kmdb_dagster.errors import TransientError
from kmdb_dagster.lake import ParsedRevision
from kmdb_dagster.pipeline.steps import Figures, Pipeline
from kmdb_dagster.source import BucketUnusableError

MAX_GROUP_REVISIONS = 50
MAX_GROUP_BYTES = 12 * 1024 * 1024
"""Of the files. A group of this size is loaded in one to two seconds, so the UI shows progress, and a run that is
cancelled ends soon."""


class StepResult(NamedTuple):
    """What a step reports of a revision, and its share of the time."""

    figures: Figures
    seconds: float


Outcomes: TypeAlias = dict[int, StepResult | Exception]
"""The result of a step for each revision, or why it failed."""

GroupStep: TypeAlias = Callable[[Pipeline, Sequence[ParsedRevision]], Mapping[int, Figures]]


class Weighted(Protocol):
    """A revision with the number of bytes that it counts for."""

    @property
    def weight(self) -> int:
        """As in `lake.ParsedRevision`."""


T = TypeVar("T", bound=Weighted)


def in_groups(
    revisions: Iterable[T], max_revisions: int = MAX_GROUP_REVISIONS, max_bytes: int = MAX_GROUP_BYTES
) -> Iterator[list[T]]:
    """Yield revisions in groups. A group ends with the revision that reaches one of the limits.

    Args:
        revisions: the revisions, in order.
        max_revisions: the limit of revisions in a group.
        max_bytes: the limit of the weights of a group.
    """
    group: list[T] = []
    for revision in revisions:
        group.append(revision)
        if len(group) >= max_revisions or sum(each.weight for each in group) >= max_bytes:
            yield group
            group = []
    if group:
        yield group


def run_step(step: GroupStep, pipeline: Pipeline, group: Sequence[ParsedRevision]) -> Outcomes:
    """Run a step for a group. If it fails, run it for each revision alone, so that only the bad ones fail.

    Args:
        step: resolves or loads a group.
        pipeline: the pipeline.
        group: the revisions.

    Raises:
        TransientError: a service stays unavailable, so it would fail for every revision.
        BucketUnusableError: the same.
    """
    started = time.monotonic()
    try:
        figures = step(pipeline, group)
    except (TransientError, BucketUnusableError):
        raise
    except Exception as error:  # noqa: BLE001 - a bad revision, or a defect that it triggers, stops no other
        if len(group) == 1:
            return {group[0].revision: error}
        alone = (run_step(step, pipeline, [parsed]) for parsed in group)
        return {revision: outcome for outcomes in alone for revision, outcome in outcomes.items()}
    seconds = time.monotonic() - started
    total = sum(parsed.weight for parsed in group) or 1
    return {parsed.revision: StepResult(figures[parsed.revision], seconds * parsed.weight / total) for parsed in group}
