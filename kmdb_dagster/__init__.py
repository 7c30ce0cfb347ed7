"""kmdb_dagster: import a KissMetrics data export into MySQL with Dagster.

The packages, from the bottom up. Imports point downwards only:

* ``km_export``: the format of an export: lines, identities, the layout of the bucket. ``sample`` generates them.
* ``source``: where the files are: an S3 bucket or a folder. ``lake``: raw copies and Parquet.
* ``warehouse``: the MySQL database: schema, ledger, identity resolution, interning, loading, maintenance.
* ``analysis``, ``questions``, ``charts``, ``report``, ``alerting``: model classes and views, answers, charts, alerts.
* ``pipeline``: one plain function for each step of a revision. ``erasure``: erase a person.
* ``dagster_ext``: extensions of Dagster. ``defs``: Dagster definitions. ``cli``: the ``kmdb`` command.

The model classes can be imported from here: ``from kmdb_dagster import Event, User, connect``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmdb_dagster.analysis import Alias, Event, Key, Property, User, connect

__all__ = ["Alias", "Event", "Key", "Property", "User", "connect"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the model classes at first use: SQLAlchemy and pyarrow take a second to import."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kmdb_dagster import analysis  # noqa: PLC0415 - see above

    return getattr(analysis, name)
