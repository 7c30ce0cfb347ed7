"""kmdb_dagster: a KissMetrics data export in MySQL, by way of Dagster.

The folders, in the order in which data goes through them:

* ``export``: what a KissMetrics export *is*: lines, identities, the bucket's layout. Pure.
* ``source``: where the export's files are: an S3 bucket or a folder.
* ``lake``: the files on their way: raw copies and Parquet.
* ``warehouse``: the MySQL database: tables, people, loading, partitions.
* ``pipeline``: one plain function for each step of a revision, from the source to the warehouse.
* ``defs``: Dagster's view of all that. The only folder that imports dagster.
* ``cli``: the ``kmdb`` command.
"""

__version__ = "0.1.0"
