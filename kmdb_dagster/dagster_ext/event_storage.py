"""Dagster's own history on MySQL, as a run writes it: over a connection that is kept.

Dagster opens a connection for each event and closes it again, so that what lives long holds none. A run writes five
events a revision, and connecting takes longer than writing them (docs/decisions/0015-what-a-revision-costs.md).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from sqlalchemy import NullPool, create_engine


@contextmanager
def connection_kept(instance: dg.DagsterInstance) -> Iterator[None]:
    """Until the end of this: where the history is on MySQL, events go over a connection that stays open.

    It is tried before each use, since the server may have been started anew. Dagster's own way of keeping
    one, `optimize_for_webserver`, does not, and a run would fail of it.
    """
    storage: Any = instance.event_log_storage
    own = getattr(storage, "_engine", None)
    if own is None or own.dialect.name != "mysql" or not isinstance(own.pool, NullPool):
        yield
        return
    from dagster_mysql.utils import mysql_isolation_level  # noqa: PLC0415 - only where the history is there

    level = mysql_isolation_level()  # type: ignore[no-untyped-call]  # Dagster's
    kept = create_engine(own.url, isolation_level=level, pool_pre_ping=True)
    storage._engine = kept  # noqa: SLF001 - there is no other way in
    try:
        yield
    finally:
        storage._engine = own  # noqa: SLF001 - as above
        kept.dispose()
