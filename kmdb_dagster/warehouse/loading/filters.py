"""What makes a line *ignored*: `ignored_users`, `whitelisted_events`, `blacklisted_properties`, and the retention.

Read when a revision is loaded. A change takes effect on revisions loaded after it; `kmdb filter apply` loads the
others again. The ledger has the digest of the filters that each revision was loaded with. Alias lines are stored in any
case; those of ignored users connect nothing (`warehouse.identity.rules`).
"""

import json
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from kmdb_dagster.digest import digest
from kmdb_dagster.warehouse.schema.state_rows import required


class Filters(NamedTuple):
    """Names as they stand in the tables, compared exactly, and the day on which what is kept begins."""

    ignored_users: frozenset[str]
    whitelisted_events: frozenset[str]
    blacklisted_properties: frozenset[str]
    facts_from: datetime | None
    """Facts before it were dropped, and stay out. None: none were."""

    def digest(self) -> bytes:
        """Return the SHA-256 (32 bytes) of the three lists of names. The same names have the same digest."""
        return digest(json.dumps([sorted(names) for names in self[:3]]))


def read_filters(connection: Connection) -> Filters:
    """The filters as they are now."""
    state = connection.execute(text("SELECT facts_from FROM warehouse_state WHERE id = 1")).one_or_none()
    facts_from = required("warehouse_state", state).facts_from
    users, events, properties = (_names(connection, table) for table in Filters._fields[:3])
    return Filters(users, events, properties, facts_from)


def _names(connection: Connection, table: str) -> frozenset[str]:
    return frozenset(connection.execute(text(f"SELECT name FROM {table}")).scalars())  # noqa: S608 - ours
