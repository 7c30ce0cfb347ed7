"""The MySQL database: its tables, the people in it, how revisions get in and out. Knows no dagster."""

from kmdb_dagster.warehouse.connection.warehouse import Warehouse

__all__ = ["Warehouse"]
