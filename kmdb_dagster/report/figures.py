"""Series of the import report, computed from the ledger. Pure.

A revision may hold late-arriving data, and times in the future from a visitor's wrong clock. So the time of a revision
is the median of its neighbours' times: KissMetrics numbers revisions in the order of arrival.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from kmdb_dagster.charts.series import Series
from kmdb_dagster.warehouse.ledger.history import FirstSeen, History, Times
from kmdb_dagster.warehouse.schema.columns import IntColumn

NEIGHBOURS = 9
"""Revisions in the window of the median."""
MAX_POINTS = 600
"""Longer series are averaged or reduced to this length: a picture has no more pixels."""


class Run(NamedTuple):
    """An import run: its end in seconds since 1970, its duration in seconds, its first and last revision."""

    ended: float
    seconds: float
    first: int
    last: int


def revision_times(history: History) -> Times:
    """Estimate the time of each revision.

    Returns:
        UTC, dtype ``datetime64[s]``, one for each revision of the history; NaT for revisions without facts.
    """
    known = ~np.isnat(history.t_max)
    from scipy.ndimage import median_filter  # noqa: PLC0415 - only a report needs it

    times = np.full(len(known), np.datetime64("NaT"), "M8[s]")
    # A fact newer than its import comes from a wrong clock.
    newest = np.minimum(history.t_max[known], history.imported_at[known])
    times[known] = median_filter(newest.astype(np.int64), NEIGHBOURS, mode="reflect").astype("M8[s]")
    return times


def per_day(times: Times, values: IntColumn) -> Series:
    """Sum values by day; days without values are 0. More than `MAX_POINTS` days become means of several days."""
    known = ~np.isnat(times)
    days = times[known].astype("M8[D]").astype(np.int64)
    if not len(days):
        return Series(np.array([], "M8[D]"), np.array([], np.int64))
    width = 1 + (days.max() - days.min()) // MAX_POINTS
    sums = np.bincount((days - days.min()) // width, weights=values[known])
    return Series((days.min() + width * np.arange(len(sums))).astype("M8[D]"), sums / width)


def share_per_day(times: Times, part: IntColumn, whole: IntColumn) -> Series:
    """Compute ``part / whole`` of each day in percent (0 to 100), without days on which ``whole`` is 0.

    Args:
        times: the time of each revision (datetime64, UTC; NaT is left out).
        part: a count of each revision (int64).
        whole: the count that it is a part of (int64).
    """
    at, total = per_day(times, whole)
    known = total > 0
    return Series(at[known], 100 * per_day(times, part).value[known] / total[known])


def lag(times: Times, imported_at: Times) -> Series:
    """Compute the age of the newest fact, in hours, at each import; long series keep the maximum of each interval."""
    known = ~np.isnat(times)
    order = np.argsort(imported_at[known], kind="stable")
    at = imported_at[known][order]
    newest = np.maximum.accumulate(times[known][order].astype(np.int64)).astype("M8[s]")
    hours = np.maximum((at - newest) / np.timedelta64(1, "h"), 0)
    if not len(at):
        return Series(at, hours)
    starts = np.unique(np.linspace(0, len(at), MAX_POINTS, endpoint=False).astype(int))
    return Series(at[starts], np.maximum.reduceat(hours, starts))


def people_over_time(seen: FirstSeen, times: Times) -> Series:
    """Count people with a fact by the end of each week; facts from before the export count in the first week."""
    known = times[~np.isnat(times)]
    if not len(known) or not len(seen.week):
        return Series(np.array([], "M8[s]"), np.array([], np.int64))
    total = np.cumsum(seen.people)
    at = np.clip(seen.week + np.timedelta64(7, "D"), known.min(), known.max())
    last = np.append(at[1:] != at[:-1], True)
    return Series(at[last], total[last])


def speed(history: History, runs: Iterable[Run]) -> Series:
    """Compute rows per second of each run, at its end. The duration includes the start of the run's process."""
    total = np.concatenate([[0], np.cumsum(history.rows)])
    found = []
    for run in sorted(runs):
        first, last = np.searchsorted(history.revision, [run.first, run.last + 1])
        found.append((run.ended, (total[last] - total[first]) / run.seconds))
    ended, rows = np.array(found, np.float64).reshape(-1, 2).T
    return Series(ended.astype("M8[s]"), rows)
