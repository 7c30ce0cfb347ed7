"""The series of the report and their charts."""

import re
from base64 import b64decode
from datetime import UTC, datetime

import numpy as np
import pytest

from kmdb_dagster.charts import series_charts
from kmdb_dagster.charts.series import Series
from kmdb_dagster.report.figures import (
    MAX_POINTS,
    Run,
    lag,
    people_over_time,
    per_day,
    revision_times,
    share_per_day,
    speed,
)
from kmdb_dagster.warehouse.ledger.history import FirstSeen, History

START = np.datetime64("2014-04-15T06:00:00", "s")
HOUR, DAY = np.timedelta64(3600, "s"), np.timedelta64(86400, "s")
DRAWING_FUNCTIONS = (
    series_charts.draw_daily_sums,
    series_charts.draw_percentages,
    series_charts.draw_growth,
    series_charts.draw_points,
    series_charts.draw_lag,
)


def history(revisions: int, every: np.timedelta64 = HOUR, first: int = 1) -> History:
    """A revision of 10 lines and 30 rows every so often, imported a day after its time."""
    number = np.arange(first, first + revisions)
    t_max = START + np.arange(revisions) * every
    return History(number, np.full_like(number, 10), number % 2, np.full_like(number, 30), t_max, t_max + DAY)


def test_a_wrong_clock_in_the_facts_does_not_change_the_day_of_a_revision() -> None:
    known = history(20)
    known.t_max[[0, 7, 8]] = np.datetime64("2037-01-01")
    known.t_max[12] = np.datetime64("2009-01-01")
    known.t_max[15] = np.datetime64("NaT")
    times = revision_times(known)
    assert np.isnat(times).nonzero()[0].tolist() == [15]
    there = times[~np.isnat(times)]
    assert (there.min(), there.max()) >= (START, START)
    assert there.max() <= START + DAY


def test_a_day_without_revisions_counts_zero_and_has_no_share() -> None:
    known = history(4, every=np.timedelta64(2 * 86400, "s"))
    days = per_day(known.t_max, known.lines)
    assert days.at.astype(str).tolist() == [f"2014-04-{day}" for day in range(15, 22)]
    assert days.value.tolist() == [10, 0, 10, 0, 10, 0, 10]
    shares = share_per_day(known.t_max, known.rejected, known.lines)
    assert list(zip(shares.at.astype(str), shares.value, strict=True))[:2] == [("2014-04-15", 10), ("2014-04-17", 0)]


def test_very_many_days_are_averaged_into_fewer_points() -> None:
    known = history(3 * MAX_POINTS, every=DAY)
    days = per_day(known.t_max, known.lines)
    assert MAX_POINTS / 2 <= len(days.at) <= MAX_POINTS
    assert days.value[:-1].tolist() == [10] * (len(days.at) - 1)


def test_the_lag_is_measured_from_the_newest_fact_so_far() -> None:
    known = history(5)
    # The third came in late: what was newest before it came in has not become older by it.
    known.imported_at[2] = known.imported_at[4] + HOUR
    assert lag(known.t_max, known.imported_at).value.tolist() == [24, 24, 24, 24, 25]
    many = history(5 * MAX_POINTS)
    assert len(lag(many.t_max, many.imported_at).at) == MAX_POINTS


def test_people_are_counted_from_the_week_of_their_first_fact() -> None:
    weeks = np.array(["2009-01-01", "2014-04-10", "2014-04-17", "2037-01-01"], "M8[s]")
    found = people_over_time(FirstSeen(weeks, np.array([5, 1, 2, 4])), history(24 * 30).t_max)
    assert found.value.tolist() == [5, 6, 8, 12]
    assert found.at.max() <= START + 30 * DAY


def test_the_speed_of_a_run_is_the_rows_of_its_range_per_second() -> None:
    found = speed(history(10, first=5), [Run(2000.0, 3.0, 7, 8), Run(1000.0, 60.0, 1, 14), Run(3000.0, 1.0, 90, 99)])
    assert found.value.tolist() == [5, 20, 0]
    assert found.at[0].astype(datetime).replace(tzinfo=UTC).timestamp() == 1000


@pytest.mark.parametrize("draw", DRAWING_FUNCTIONS, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("length", [0, 1, 2, 4000])
def test_every_series_has_a_chart_of_limited_size(draw: object, length: int) -> None:
    at = np.arange(length).astype("M8[D]")
    words = series_charts.markdown([series_charts.Chart("Anything", Series(at, np.linspace(0, 5000, length)), draw)])  # type: ignore[arg-type]  # any of them
    (picture,) = re.findall(r"^!\[Anything\]\(data:image/png;base64,([^)]+)\)$", words)
    assert b64decode(picture).startswith(b"\x89PNG")
    assert len(words) < 60_000
