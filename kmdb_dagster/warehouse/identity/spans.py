"""When the facts of each identity are, so that they are found again without looking through all time.

``identity_spans`` has a row for each identity that ever had a fact, with the first and the last week of its facts, or
more. Spans only grow, and are committed before the facts come in: so no fact is outside the span of its identity.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import Connection, Engine

from kmdb_dagster.warehouse.connection.server import select_in_batches, transaction, values_list
from kmdb_dagster.warehouse.maintenance.time_partitions import read_partitions
from kmdb_dagster.warehouse.schema.columns import IntColumn
from kmdb_dagster.warehouse.schema.tables import FACTS

WEEK = 7 * 24 * 3600
"""Seconds. Coarse, so that a span rarely has to grow."""

GROWN_PER_STATEMENT = 10_000

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - as the server has it
LATEST = datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 - as above
"""The last second that DATETIME can hold. It lies within a week, so the end of that week has no date."""

SPANS = "SELECT identity_id, first_week, last_week FROM identity_spans WHERE identity_id IN :ids"
WEEK_OF = f"GREATEST(TIMESTAMPDIFF(SECOND, '1970-01-01', {{t}}) DIV {WEEK}, 0)"
"""The week of a time, in SQL."""
LACKING = (
    f"SELECT f.identity_id, MIN({WEEK_OF.format(t='f.t')}), MAX({WEEK_OF.format(t='f.t')}) "  # noqa: S608 - ours
    "FROM {table} PARTITION ({name}) f LEFT JOIN identity_spans s ON s.identity_id = f.identity_id "
    f"WHERE s.identity_id IS NULL OR {WEEK_OF.format(t='f.t')} NOT BETWEEN s.first_week AND s.last_week "
    "GROUP BY 1 ORDER BY 1"
)
GROW = (
    "INSERT INTO identity_spans (identity_id, first_week, last_week) VALUES {rows} ON DUPLICATE KEY UPDATE "
    "first_week = LEAST(first_week, VALUES(first_week)), last_week = GREATEST(last_week, VALUES(last_week))"
)


def widen(engine: Engine, identities: IntColumn, times: IntColumn) -> None:
    """Let the spans of these identities hold facts at these times, in seconds since 1970: one for each identity given.

    Commits by itself. What is loaded afterwards may fail: a span that is too wide does no harm.

    Args:
        engine: the warehouse.
        identities: ids of identities, one for each fact (int64).
        times: the times of the facts, in the same order.
    """
    distinct, place = np.unique(identities, return_inverse=True)
    first = np.full(len(distinct), np.iinfo(np.int64).max)
    last = np.zeros(len(distinct), np.int64)
    np.minimum.at(first, place, times // WEEK)
    np.maximum.at(last, place, times // WEEK)
    with transaction(engine) as connection:
        known = {row[0]: row[1:] for row in select_in_batches(connection, SPANS, distinct.tolist())}
        wanted = zip(distinct.tolist(), first.tolist(), last.tolist(), strict=True)
        # In the order of the primary key: two that let the same spans grow wait for each other in one direction.
        rows = [row for row in wanted if not _holds(known.get(row[0]), row[1], row[2])]
        if rows:
            connection.exec_driver_sql(GROW.format(rows=values_list(rows)))


def spans_of(connection: Connection, identities: Collection[int]) -> dict[int, tuple[datetime, datetime]]:
    """The span of each of these that ever had a fact: from its first second to its last."""
    found = select_in_batches(connection, SPANS, identities)
    return {identity: (_moment(first * WEEK), _moment((last + 1) * WEEK - 1)) for identity, first, last in found}


def restore(engine: Engine, report: Callable[[str, int, int], object] = lambda *_: None) -> None:
    """Let the spans hold every fact that is in. Needed only after ``identity_spans`` was changed by hand."""
    with transaction(engine) as connection:
        parts = [part for part in read_partitions(connection) if part.table in FACTS]
    for done, part in enumerate(parts):
        report("looking for facts outside of their spans, time partitions", done, len(parts))
        with transaction(engine) as connection:
            found = connection.exec_driver_sql(LACKING.format(table=part.table, name=part.name)).all()
            for start in range(0, len(found), GROWN_PER_STATEMENT):
                rows = values_list(map(tuple, found[start : start + GROWN_PER_STATEMENT]))
                connection.exec_driver_sql(GROW.format(rows=rows))


def _holds(span: tuple[int, int] | None, first: int, last: int) -> bool:
    return span is not None and span[0] <= first and last <= span[1]


def _moment(second: int) -> datetime:
    """The time of a second since 1970, or the latest one possible."""
    return min(timedelta(seconds=second), LATEST - EPOCH) + EPOCH
