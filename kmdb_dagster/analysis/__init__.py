"""Model classes with chainable scopes, and views, to query the tables from Python and SQL. Knows no Dagster.

    from kmdb_dagster import Event, User, connect

    with connect():
        Event.named("signed up").since("2014-01-01").before("2014-02-01").to_polars()
        User.find("bob@example.com").prop("plan name")

Model classes only read. docs/how-to/query.md describes them.
"""

from kmdb_dagster.analysis.database import connect
from kmdb_dagster.analysis.facts import Facts
from kmdb_dagster.analysis.models import Alias, Event, Key, Property, User
from kmdb_dagster.analysis.query import Query

__all__ = ["Alias", "Event", "Facts", "Key", "Property", "Query", "User", "connect"]
