"""Spans of the facts of an identity."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from kmdb_dagster.warehouse.identity.spans import WEEK, spans_of, widen
from kmdb_dagster.warehouse.identity.user_map import move_facts
from kmdb_dagster.warehouse.interning.lookup import UnresolvedError
from testing.buckets import T, alias, event, property_set
from testing.revisions import Revisions, change, content, misplaced, one, rows

SPANS = "SELECT u.name, s.first_week, s.last_week FROM identity_spans s JOIN users u ON u.id = s.identity_id ORDER BY 1"
LATEST = 253402300799


def test_a_span_covers_all_facts_of_its_identity(engine: Engine, revisions: Revisions) -> None:
    revisions.put(1, event("came", "a", t=T), event("came", "b", t=T), property_set("a", T + 5 * WEEK, sex="f"))
    revisions.put(2, event("came", "b", t=1), event("came", "c", t=LATEST))
    week = T // WEEK
    assert rows(engine, SPANS) == [("a", week, week + 5), ("b", 0, week), ("c", LATEST // WEEK, LATEST // WEEK)]


def test_a_span_never_shrinks(engine: Engine) -> None:
    for times in ([0, 3 * WEEK], [WEEK, WEEK], [9 * WEEK - 1, 2 * WEEK]):
        widen(engine, np.array([5, 5]), np.array(times))
    with engine.connect() as connection:
        found = spans_of(connection, [5, 6])
    assert found == {5: (datetime(1970, 1, 1), datetime(1970, 3, 4, 23, 59, 59))}  # noqa: DTZ001 - as the server has it


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(second=st.sampled_from([1, WEEK - 1, WEEK, LATEST - 2 * 86_400, LATEST]) | st.integers(1, LATEST))
def test_the_span_of_an_identity_covers_any_possible_time(engine: Engine, second: int) -> None:
    change(engine, "DELETE FROM identity_spans")
    widen(engine, np.array([5]), np.array([second]))
    with engine.connect() as connection:
        first, last = spans_of(connection, [5])[5]
    assert first <= datetime(1970, 1, 1) + timedelta(seconds=second) <= last  # noqa: DTZ001 - as the server has it


def test_an_identity_without_facts_has_no_span(engine: Engine, revisions: Revisions) -> None:
    revisions.load(1, event("came", "b"))
    revisions.resolve(2, alias("a", "b"), alias("a", "c"))
    waiting = "SELECT u.name FROM pending_moves p JOIN users u ON u.id = p.identity_id"
    assert rows(engine, waiting) == [("b",)]


def test_facts_at_both_ends_of_a_span_are_moved(engine: Engine, revisions: Revisions) -> None:
    start, end = 10 * WEEK, 12 * WEEK - 1
    revisions.load(1, event("came", "b", t=start), event("went", "b", t=end), event("came", "c", t=T))
    revisions.resolve(2, alias("a", "b"), alias("a", "c"))
    assert move_facts(engine) == 2
    assert misplaced(engine) == 0


def test_a_failed_load_leaves_wider_spans_and_nothing_else(engine: Engine, revisions: Revisions) -> None:
    revisions.load(1, event("came", "a"))
    parsed = revisions.parsed(2, event("came", "a", t=T + WEEK), alias("a", "b"))
    revisions.resolve_parsed(2, parsed)
    change(engine, "DELETE FROM aliases")
    before = content(engine)
    with pytest.raises(UnresolvedError, match="has 1 alias lines, and 0 of them are in"):
        revisions.load_parsed(2, parsed)
    assert content(engine) == before
    assert one(engine, "SELECT last_week - first_week FROM identity_spans") == 1
