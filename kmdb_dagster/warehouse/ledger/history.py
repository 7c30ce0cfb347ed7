"""The history of the warehouse: the ledger as columns, and new people per week."""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, text

from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.identity.spans import WEEK
from kmdb_dagster.warehouse.schema.columns import IntColumn

Times: TypeAlias = NDArray[np.datetime64]

REVISIONS = (
    "SELECT revision, `lines`, rejected, events + properties, t_max, imported_at FROM revisions "
    "WHERE imported_at IS NOT NULL AND etag IS NOT NULL ORDER BY revision"
)
FIRST_SEEN = (
    "SELECT week, COUNT(*) FROM (SELECT MIN(s.first_week) AS week FROM user_map m "
    "JOIN identity_spans s ON s.identity_id = m.identity_id GROUP BY m.user_id) people GROUP BY week ORDER BY week"
)


class History(NamedTuple):
    """The ledger as columns: one element per imported revision that KissMetrics wrote, ascending. Times are UTC."""

    revision: IntColumn
    lines: IntColumn
    rejected: IntColumn
    rows: IntColumn
    t_max: Times
    """NaT: it brought no facts."""
    imported_at: Times


class FirstSeen(NamedTuple):
    """People by the week of their first fact. Weeks begin on Thursdays, as 1970 did."""

    week: Times
    people: IntColumn


def read_history(engine: Engine) -> History:
    """Read the ledger as columns."""
    with transaction(engine) as connection:
        found = connection.execute(text(REVISIONS)).all()
    revision, lines, rejected, rows, t_max, imported_at = zip(*found, strict=True) if found else ([],) * 6
    counts = [np.array(column, np.int64) for column in (revision, lines, rejected, rows)]
    return History._make([*counts, np.array(t_max, "M8[s]"), np.array(imported_at, "M8[s]")])


def read_first_seen(engine: Engine) -> FirstSeen:
    """Count the people by the week of their first fact."""
    with transaction(engine) as connection:
        found = connection.execute(text(FIRST_SEEN)).all()
    weeks = np.array([row[0] for row in found], np.int64)
    return FirstSeen((weeks * WEEK).astype("M8[s]"), np.array([row[1] for row in found], np.int64))
