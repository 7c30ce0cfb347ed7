"""The MySQL or MariaDB database: connection, schema, ledger, identity resolution, interning, loading, maintenance.

Functions take the least that they need. A ``Connection`` means: this is part of the caller's transaction. An ``Engine``
means: this opens transactions of its own. The `Warehouse` is for the rooms above, which open it once and pass
``warehouse.engine`` on; only a function that needs the state which it keeps for a run takes the `Warehouse` itself.
"""

from kmdb_dagster.warehouse.connection.warehouse import Warehouse

__all__ = ["Warehouse"]
