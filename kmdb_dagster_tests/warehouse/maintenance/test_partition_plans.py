"""Plans of time partitions, without a server."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmdb_dagster.errors import SettingsError
from kmdb_dagster.warehouse.maintenance.time_partitions import (
    MAX_PARTITIONS,
    PARTITIONED_TABLES,
    Partition,
    Plan,
    covered_until,
    plan_table,
)

DAYS = st.dates(date(2008, 1, 1), date(2030, 1, 1))
SPANS = st.tuples(st.integers(1, 1000), st.integers(1, 1000))
FUTURE = Partition("events", "future", None, 0, 0)


def existing(plan: Plan, before: list[Partition]) -> list[Partition]:
    """The partitions of a table once the plan was carried out."""
    made = [Partition(plan.table, bound.name, bound.before, 0, 0) for bound in plan.bounds]
    return [*(partition for partition in before if partition.before), *made, FUTURE]


def planned(
    before: list[Partition], min_date: date | None = None, max_date: date = date(2014, 2, 1), days: int = 7
) -> Plan:
    return plan_table("events", before, min_date=min_date, max_date=max_date, days=days)


def test_the_first_plan_starts_at_min_date_with_one_partition_for_older_facts() -> None:
    plan = planned([FUTURE], date(2014, 1, 20))
    assert plan.bounds == (
        ("past", date(2014, 1, 20)),
        ("p20140120", date(2014, 1, 27)),
        ("p20140127", date(2014, 2, 3)),
    )
    assert plan.statements() == [
        (
            "ALTER TABLE events REORGANIZE PARTITION future INTO ("
            "PARTITION past VALUES LESS THAN ('2014-01-20'), PARTITION p20140120 VALUES LESS THAN ('2014-01-27'), "
            "PARTITION p20140127 VALUES LESS THAN ('2014-02-03'), PARTITION future VALUES LESS THAN (MAXVALUE))"
        )
    ]


def test_a_covered_table_needs_no_partition() -> None:
    covered = [Partition("events", "p20140101", date(2014, 2, 1), 5, 1), FUTURE]
    assert planned(covered, date(2014, 1, 1)).statements() == []


@given(DAYS, st.integers(1, 4000), st.integers(1, 400))
def test_bounds_are_contiguous_and_end_at_max_date(start: date, span: int, days: int) -> None:
    end = start + timedelta(days=span)
    past, *bounds = planned([FUTURE], start, end, days).bounds
    assert past == ("past", start)
    assert [bound.name for bound in bounds] == [
        f"p{before:%Y%m%d}" for before in [start, *(bound.before for bound in bounds[:-1])]
    ]
    assert {later.before - earlier.before for earlier, later in pairwise([past, *bounds])} == {timedelta(days=days)}
    assert timedelta(0) <= bounds[-1].before - end < timedelta(days=days)


@given(DAYS, DAYS, SPANS, st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_a_later_min_date_is_ignored_and_existing_partitions_are_kept(
    start: date, other_start: date, spans: tuple[int, int], both_days: tuple[int, int]
) -> None:
    (span, more), (days, other_days) = spans, both_days
    first = existing(planned([FUTURE], start, start + timedelta(days=span), days), [FUTURE])
    last = max(partition.before for partition in first if partition.before)
    end = start + timedelta(days=span + more)
    plan = planned(first, other_start, end, other_days)
    assert plan == planned(first, None, end, other_days)
    assert bool(plan.bounds) == (end > last)
    assert all(bound.before > last for bound in plan.bounds)
    assert {bound.name for bound in plan.bounds}.isdisjoint(partition.name for partition in first)
    assert max([last, *(bound.before for bound in plan.bounds)]) >= end


@given(DAYS, st.integers(1, 1000), st.integers(1, 60))
def test_planning_again_plans_nothing(start: date, span: int, days: int) -> None:
    end = start + timedelta(days=span)
    done = existing(planned([FUTURE], start, end, days), [FUTURE])
    assert planned(done, start, end, days).bounds == ()


def test_the_first_plan_needs_min_date() -> None:
    with pytest.raises(SettingsError, match="KMDB_MIN_DATE is not set"):
        planned([FUTURE])


@pytest.mark.parametrize("min_date", [date(2014, 2, 1), date(2014, 2, 2)])
def test_min_date_must_be_before_max_date(min_date: date) -> None:
    with pytest.raises(SettingsError, match=r"2014-02-0\d\) is not before KMDB_MAX_DATE \(2014-02-01\)"):
        planned([FUTURE], min_date)


def test_the_limit_of_partitions_is_allowed_and_one_more_is_refused() -> None:
    start = date(2000, 1, 1)
    # The first is for what comes before, the last for what comes after.
    most = start + timedelta(days=MAX_PARTITIONS - 2)
    assert len(planned([FUTURE], start, most, 1).bounds) == MAX_PARTITIONS - 1
    with pytest.raises(SettingsError, match="KMDB_DAYS_PER_PARTITION is 1: make it larger"):
        planned([FUTURE], start, most + timedelta(days=1), 1)


@pytest.mark.parametrize("days", [7, 366, 3660])
def test_partitions_may_reach_the_end_of_the_calendar(days: int) -> None:
    bounds = planned([FUTURE], date(9950, 1, 1), date.max, days).bounds
    assert bounds[-1].before == date.max


def test_existing_partitions_count_against_the_limit() -> None:
    start = date(2000, 1, 1)
    first = existing(planned([FUTURE], start, start + timedelta(days=7000), 1), [FUTURE])
    with pytest.raises(SettingsError, match="events would have 8002 partitions"):
        planned(first, None, start + timedelta(days=8000), 1)


def test_coverage_ends_where_the_first_table_has_no_partition() -> None:
    days = dict(zip(PARTITIONED_TABLES, [date(2015, 1, 1), date(2014, 1, 1), date(2016, 1, 1)], strict=True))
    found = [Partition(table, "p", day, 0, 0) for table, day in days.items()]
    earlier = [Partition(table, "past", date(2010, 1, 1), 0, 0) for table in PARTITIONED_TABLES]
    assert covered_until([*found, *earlier, FUTURE]) == date(2014, 1, 1)


def test_a_table_without_partitions_means_no_coverage() -> None:
    assert covered_until([]) is None
    assert covered_until([Partition("events", "past", date(2014, 1, 1), 0, 0), FUTURE]) is None
