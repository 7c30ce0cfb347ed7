"""The asset `warehouse`: all tables as a whole. Everything that is not about one revision belongs to it.

It is not partitioned, so an import never touches it or its checks (docs/decisions/0035-the-warehouse-asset.md).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from kmdb_dagster.dagster_ext.asset_keys import EVENTS, PROPERTIES, WAREHOUSE
from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.dagster_ext.metadata import table_sizes_table, time_partitions_table
from kmdb_dagster.defs.assets.revisions import JOBS_PATH
from kmdb_dagster.defs.automation_conditions import EVERY_NIGHT, FRESH
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.settings import Settings
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.ledger import ledger, status
from kmdb_dagster.warehouse.maintenance.retention import read_drop
from kmdb_dagster.warehouse.maintenance.table_sizes import read_table_sizes
from kmdb_dagster.warehouse.maintenance.time_partitions import read_partitions


@dg.asset(
    key=WAREHOUSE,
    deps=[EVENTS, PROPERTIES],
    kinds={"mysql"},
    automation_condition=EVERY_NIGHT,
    freshness_policy=FRESH,
    description="All tables as a whole: rows, people, sizes, the newest fact. Its checks compare the tables with the "
    "ledger, the Parquet and each other; they read both large tables.\n\n"
    "**Materialize** refreshes the figures and runs the checks. The job "
    f"[check_everything]({JOBS_PATH}/check_everything) does that too, with the report. "
    "[The figures](docs/reference/metrics.md#the-warehouse), [what to do when a check fails]"
    "(docs/reference/dagster.md#the-checks).",
)
def warehouse(kmdb: Kmdb) -> dg.MaterializeResult[None]:
    """Read the ledger, the user map, and the sizes of the tables."""
    with as_dagster_failure(), kmdb.warehouse() as opened:
        return dg.MaterializeResult(metadata={**_contents(opened, kmdb.settings()), **_sizes(opened, kmdb.settings())})


def _contents(opened: Warehouse, settings: Settings) -> Mapping[str, Any]:
    found = status.read(opened.engine, numeric_apart=settings.numeric_apart)
    totals = found.totals
    newest = ledger.newest_fact(opened.engine, datetime.now(UTC).replace(tzinfo=None))
    return {
        "dagster/row_count": totals.events + totals.properties,
        "events": totals.events,
        "properties": totals.properties,
        "aliases": totals.aliases,
        "people": found.people,
        "identities": found.identities,
        "rejected_lines": totals.rejected,
        "revisions": totals.revisions,
        "failed": totals.failed,
        **({"newest_fact": dg.MetadataValue.timestamp(newest.replace(tzinfo=UTC))} if newest else {}),
    }


def _sizes(opened: Warehouse, settings: Settings) -> Mapping[str, Any]:
    with transaction(opened.engine) as connection:
        tables, partitions = read_table_sizes(connection), read_partitions(connection)
    figures: dict[str, Any] = {
        "bytes": sum(table.bytes for table in tables),
        "tables": table_sizes_table(tables),
        "time_partitions": time_partitions_table(partitions),
    }
    if settings.keep_days:
        oldest_kept = datetime.now(UTC).date() - timedelta(days=settings.keep_days)
        figures["old_bytes_that_may_go"] = read_drop(opened.engine, oldest_kept).bytes
    return figures
