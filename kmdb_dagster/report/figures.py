"""Series to be drawn, from the ledger. Pure.

A file holds lines of times long past, and of a future that a visitor's wrong clock knows. So the day of a revision
is that of the middle one of its neighbours: KissMetrics' numbers rise with the time of arrival.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from kmdb_dagster.warehouse.ledger.history import FirstSeen, History, Numbers, Times

NEIGHBOURS = 9
MOST_POINTS = 600


class Series(NamedTuple):
    """A value for each moment, ascending."""

    at: Times
    value: NDArray[Any]


class Run(NamedTuple):
    """A run that imported: when it ended and how many seconds it took, and the first and the last revision of it."""

    ended: float
    seconds: float
    first: int
    last: int


def times_of(history: History) -> Times:
    """A time for each revision that has facts, to the second; NaT for the others."""
    known = ~np.isnat(history.t_max)
    times = np.full(len(known), np.datetime64("NaT"), "M8[s]")
    # Nothing is newer than its import.
    newest = np.minimum(history.t_max[known], history.imported_at[known])
    times[known] = median_filter(newest.astype(np.int64), NEIGHBOURS, mode="reflect").astype("M8[s]")
    return times


def per_day(times: Times, values: Numbers) -> Series:
    """The sum of each day, also of those without anything; of very many days, the mean of a few together."""
    known = ~np.isnat(times)
    days = times[known].astype("M8[D]").astype(np.int64)
    if not len(days):
        return Series(np.array([], "M8[D]"), np.array([], np.int64))
    width = 1 + (days.max() - days.min()) // MOST_POINTS
    sums = np.bincount((days - days.min()) // width, weights=values[known])
    return Series((days.min() + width * np.arange(len(sums))).astype("M8[D]"), sums / width)


def share_per_day(times: Times, part: Numbers, whole: Numbers) -> Series:
    """The share of each day that has anything, as percent."""
    at, all_of_it = per_day(times, whole)
    there = all_of_it > 0
    return Series(at[there], 100 * per_day(times, part).value[there] / all_of_it[there])


def lag(times: Times, imported_at: Times) -> Series:
    """How old, in hours, the newest fact was whenever a revision had come in; the worst of each span of time."""
    known = ~np.isnat(times)
    order = np.argsort(imported_at[known], kind="stable")
    at = imported_at[known][order]
    newest = np.maximum.accumulate(times[known][order].astype(np.int64)).astype("M8[s]")
    hours = np.maximum((at - newest) / np.timedelta64(1, "h"), 0)
    if not len(at):
        return Series(at, hours)
    starts = np.unique(np.linspace(0, len(at), MOST_POINTS, endpoint=False).astype(int))
    return Series(at[starts], np.maximum.reduceat(hours, starts))


def people_over_time(seen: FirstSeen, times: Times) -> Series:
    """How many people there were by the end of each week; who has facts from before the export is in the first."""
    known = times[~np.isnat(times)]
    if not len(known) or not len(seen.week):
        return Series(np.array([], "M8[s]"), np.array([], np.int64))
    total = np.cumsum(seen.people)
    at = np.clip(seen.week + np.timedelta64(7, "D"), known.min(), known.max())
    last = np.append(at[1:] != at[:-1], True)
    return Series(at[last], total[last])


def speed(history: History, runs: Iterable[Run]) -> Series:
    """Rows a second of each run, its start and its end and all."""
    total = np.concatenate([[0], np.cumsum(history.rows)])
    found = []
    for run in sorted(runs):
        first, last = np.searchsorted(history.revision, [run.first, run.last + 1])
        found.append((run.ended, (total[last] - total[first]) / run.seconds))
    ended, rows = np.array(found, np.float64).reshape(-1, 2).T
    return Series(ended.astype("M8[s]"), rows)
