"""What stays out: the tables ``ignored_users``, ``whitelisted_events``, ``blacklisted_properties``.

Read when a revision is loaded. A change takes effect on revisions loaded after it; load the others again
(materialize ``events`` and ``properties``) to apply it to them. Aliases are never filtered: who is the same person
does not depend on what is wanted of them.
"""

from typing import NamedTuple

from sqlalchemy import Connection, text


class Filters(NamedTuple):
    """Names as they stand in the tables, compared exactly."""

    ignored_users: frozenset[str]
    whitelisted_events: frozenset[str]
    blacklisted_properties: frozenset[str]

    def lets_in(self, identity: str, event: str | None) -> bool:
        """Whether a fact of this identity, and of this event if it is one, comes in."""
        if identity in self.ignored_users:
            return False
        return event is None or not self.whitelisted_events or event in self.whitelisted_events


def read_filters(connection: Connection) -> Filters:
    """The filters as they are now."""
    return Filters(*(_names(connection, table) for table in Filters._fields))


def _names(connection: Connection, table: str) -> frozenset[str]:
    return frozenset(connection.execute(text(f"SELECT name FROM {table}")).scalars())  # noqa: S608 - ours
