"""What changed (``changed_days``), for copies of the facts that are derived from the tables.

A row has a day whose facts changed, or an identity that got another person or was erased, or neither: then any name and
any person may have changed. New names need no row, because their ids ascend.

The transaction that changes something appends rows, so a change and its record are committed together. Rows are never
updated: transactions do not wait for each other here. A copy deletes by id the rows that it has read.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine

from kmdb_dagster.errors import TransientError
from kmdb_dagster.warehouse.connection.server import execute_in_batches, named_lock, transaction
from kmdb_dagster.warehouse.schema.columns import IntColumn
from kmdb_dagster.warehouse.schema.tables import FACTS

SECONDS_PER_DAY = 86_400
EPOCH = date(1970, 1, 1)
REFRESH_LOCK = "columnar"
"""Held while the copy of the facts is refreshed, and while rows of ``changed_days`` are deleted."""
MAX_ROWS = 20_000
"""More rows are compacted after an import."""

SUPERFLUOUS = (
    "SELECT id FROM changed_days WHERE NOT EXISTS (SELECT 1 FROM columnar_copy) "
    "OR id NOT IN (SELECT MAX(id) FROM changed_days GROUP BY day, identity_id)"
)
ROWS_PER_STATEMENT = 10_000


class ChangedDays(NamedTuple):
    """The rows of ``changed_days``."""

    ids: list[int]
    days: set[date]
    identities: set[int]
    is_any_name: bool
    """Whether any name and any person may have changed."""


def days_of_seconds(seconds: IntColumn) -> set[date]:
    """Return the days of times in seconds since 1970."""
    return {EPOCH + timedelta(days=int(day)) for day in np.unique(seconds // SECONDS_PER_DAY)}


def days_of_times(times: Iterable[datetime]) -> set[date]:
    """Return the days of times."""
    return {t.date() for t in times}


def stored_days(connection: Connection, where: str) -> set[date]:
    """Return the days of the stored facts that a condition in SQL selects."""
    found: set[date] = set()
    for table in FACTS:
        statement = f"SELECT DISTINCT DATE(t) FROM {table} WHERE {where}"  # noqa: S608 - ours
        found.update(connection.exec_driver_sql(statement).scalars())
    return found


def record_changed_days(connection: Connection, days: Collection[date]) -> None:
    """Record that facts of these days change in this transaction."""
    _append(connection, [f"('{day.isoformat()}', NULL)" for day in sorted(days)])


def record_changed_identities(connection: Connection, identities: Collection[int]) -> None:
    """Record that these identities get another person in this transaction, or are erased."""
    if len(identities) > MAX_ROWS:
        record_changed_names(connection)
    else:
        _append(connection, [f"(NULL, {int(identity)})" for identity in sorted(identities)])


def record_changed_names(connection: Connection) -> None:
    """Record that any name or person may change in this transaction: a row without a day and an identity."""
    _append(connection, ["(NULL, NULL)"])


def read_changed_days(connection: Connection) -> ChangedDays:
    """Read all rows that this transaction sees."""
    rows = connection.exec_driver_sql("SELECT id, day, identity_id FROM changed_days").all()
    return ChangedDays(
        [int(row.id) for row in rows],
        {row.day for row in rows if row.day},
        {int(row.identity_id) for row in rows if row.identity_id is not None},
        any(row.day is None and row.identity_id is None for row in rows),
    )


def delete_changed_days(connection: Connection, ids: Collection[int]) -> None:
    """Delete these rows, which a copy has taken over. Rows of transactions that are not committed yet stay."""
    # By the primary key: a scan would wait for the rows of running loads.
    execute_in_batches(connection, "DELETE d FROM changed_days d FORCE INDEX (PRIMARY) WHERE d.id IN :ids", ids)


def compact_changed_days(engine: Engine) -> None:
    """Delete rows that no copy needs, if there are many: all of them without a copy, else those of repeated days.

    So the table does not grow while nothing refreshes a copy. If a refresh is running, the next import compacts.
    """
    with transaction(engine) as connection:
        if connection.exec_driver_sql("SELECT COUNT(*) FROM changed_days").scalar_one() <= MAX_ROWS:
            return
    # Without the lock, a first refresh could register its copy in between, from a snapshot that lacks these changes.
    with suppress(TransientError), named_lock(engine, REFRESH_LOCK, 0) as lock:
        delete_changed_days(lock, list(lock.exec_driver_sql(SUPERFLUOUS).scalars()))
        _forget_identities(lock)


def _forget_identities(lock: Connection) -> None:
    """Replace the rows of many identities by one that stands for all names."""
    found = list(lock.exec_driver_sql("SELECT id FROM changed_days WHERE identity_id IS NOT NULL").scalars())
    if len(found) > MAX_ROWS:
        record_changed_names(lock)
        delete_changed_days(lock, found)


def _append(connection: Connection, rows: Sequence[str]) -> None:
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        values = ", ".join(rows[start : start + ROWS_PER_STATEMENT])
        connection.exec_driver_sql(f"INSERT INTO changed_days (day, identity_id) VALUES {values}")  # noqa: S608 - ours
