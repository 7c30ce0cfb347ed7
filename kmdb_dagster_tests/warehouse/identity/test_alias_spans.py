"""Spans of alias lines: they are searched in few time partitions, and always found."""

from datetime import date
from typing import Any, cast

from sqlalchemy import Engine, event

from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all
from testing.buckets import T, alias
from testing.query_plans import explained
from testing.revisions import Revisions, one, rows

WEEK = 7 * 24 * 3600
SPANS = "SELECT revision, t_min, t_max FROM resolved_revisions WHERE t_min IS NOT NULL ORDER BY revision"
LINES = "SELECT id >> 40 AS revision, MIN(t), MAX(t) FROM aliases GROUP BY revision ORDER BY revision"


def test_the_span_of_a_revision_covers_its_stored_alias_lines(engine: Engine, revisions: Revisions) -> None:
    revisions.resolve(1, alias("a", "b", t=T), alias("c", "d", t=T + 9 * WEEK))
    revisions.resolve(2, alias("e", "f", t=1))
    revisions.resolve(3)
    assert rows(engine, SPANS) == rows(engine, LINES)
    revisions.resolve(1, alias("a", "b", t=T + WEEK))
    revisions.resolve(2)
    assert rows(engine, SPANS) == rows(engine, LINES)
    assert [row[0] for row in rows(engine, SPANS)] == [1]


def test_alias_lines_with_a_changed_time_are_replaced(engine: Engine, revisions: Revisions) -> None:
    for t in (T, T + 50 * WEEK, 1):
        revisions.put(1, alias("a", "b", t=t), alias("b", "c", t=t))
        assert one(engine, "SELECT COUNT(*) FROM aliases") == 2


def test_alias_lines_of_a_revision_are_searched_in_its_time_partitions_only(
    engine: Engine, revisions: Revisions
) -> None:
    days: dict[str, Any] = {"min_date": date(2013, 12, 2), "max_date": date(2014, 6, 30), "days": 7}
    apply_plans(engine, plan_all(engine, **days, today=date(2014, 1, 1)))
    revisions.put(1, alias("a", "b", t=T))
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: sent.append(filled_in(arguments)))
    revisions.put(1, alias("a", "c", t=T + WEEK))
    looked = [statement for statement in sent if "FROM aliases WHERE (id BETWEEN" in statement]
    # Those from before and their removal look everywhere; whether all are stored when the facts are loaded does not.
    assert len(looked) == 3
    tables = [explained(engine, statement, {"aliases"})[0] for statement in looked]
    assert len(tables[-1]["partitions"]) == 1


def filled_in(arguments: tuple[object, ...]) -> str:
    """A statement with its parameters."""
    statement, parameters = str(arguments[2]), cast("tuple[object, ...]", arguments[3])
    return statement % tuple(repr(str(each)) for each in parameters) if "FROM aliases" in statement else statement
