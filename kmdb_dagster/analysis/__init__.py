"""The tables for whoever asks: model classes with scopes that chain, and views. Knows no dagster.

    from kmdb_dagster import Event, User, connect

    with connect():
        Event.named("signed up").since("2014-01-01").before("2014-02-01").to_polars()
        User.find("bob@example.com").prop("plan name")

Model classes only read. What they show is described in docs/how-to/query.md.
"""

from kmdb_dagster.analysis.database import connect
from kmdb_dagster.analysis.facts import Facts
from kmdb_dagster.analysis.models import Alias, Event, Key, Property, User
from kmdb_dagster.analysis.query import Query

__all__ = ["Alias", "Event", "Facts", "Key", "Property", "Query", "User", "connect"]
