"""kmdb_dagster: a KissMetrics data export in MySQL, by way of Dagster.

The folders, in the order in which data goes through them:

* ``export``: what a KissMetrics export *is*: lines, identities, the bucket's layout. Pure.
* ``source``: where the export's files are: an S3 bucket or a folder.
* ``lake``: the files on their way: raw copies and Parquet.
* ``warehouse``: the MySQL database: tables, people, loading, partitions.
* ``analysis``: the tables for whoever asks: model classes, views.
* ``pipeline``: one plain function for each step of a revision, from the source to the warehouse.
* ``questions``: questions to the events in the database, and their answers.
* ``defs``: Dagster's view of all that. The only folder that imports dagster.
* ``cli``: the ``kmdb`` command.

The model classes can be imported from here: ``from kmdb_dagster import Event, User, connect``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmdb_dagster.analysis import Alias, Event, Key, Property, User, connect

__all__ = ["Alias", "Event", "Key", "Property", "User", "connect"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """The model classes, once somebody wants them: SQLAlchemy and pyarrow take a second to import."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kmdb_dagster import analysis  # noqa: PLC0415 - see above

    return getattr(analysis, name)
