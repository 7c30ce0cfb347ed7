"""The asset `columnar_facts`: the copy of the facts in Parquet, for DuckDB and other engines."""

import time
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from kmdb_dagster.columnar.refresh import Refreshed, refresh
from kmdb_dagster.dagster_ext.asset_keys import COLUMNAR_FACTS, EVENTS, PROPERTIES
from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.dagster_ext.progress_log import ProgressLog
from kmdb_dagster.defs.automation_conditions import EVERY_NIGHT, FRESH
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.lake import Lake


@dg.asset(
    key=COLUMNAR_FACTS,
    deps=[EVENTS, PROPERTIES],
    kinds={"parquet"},
    automation_condition=EVERY_NIGHT,
    freshness_policy=FRESH,
    description="A copy of the facts in Parquet, one file for each time partition, for DuckDB and other engines. "
    "It is derived from the tables.\n\n**Materialize** rewrites the time partitions whose facts changed since the last "
    "time. [Use it](docs/how-to/columnar-copy.md).",
)
def columnar_facts(context: dg.AssetExecutionContext, kmdb: Kmdb) -> dg.MaterializeResult[None]:
    """Bring the copy up to date."""
    settings, started = kmdb.settings(), time.monotonic()
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        done = refresh(
            warehouse.engine,
            Lake(settings.data_folder),
            settings.columnar_folder,
            report=ProgressLog(context.log.info),
        )
    return dg.MaterializeResult(metadata=_metadata(done, time.monotonic() - started))


def _metadata(done: Refreshed, seconds: float) -> dict[str, Any]:
    manifest = done.manifest
    return {
        "dagster/row_count": manifest.rows("events") + manifest.rows("properties"),
        "events": manifest.rows("events"),
        "properties": manifest.rows("properties"),
        "revisions": manifest.state.revisions,
        **({} if manifest.state.newest_revision is None else {"newest_revision": manifest.state.newest_revision}),
        "bytes": manifest.bytes,
        "files_written": done.files_written,
        "files_removed": done.files_removed,
        "rows_written": done.rows_written,
        "bytes_written": done.bytes_written,
        "seconds": round(seconds, 1),
        "made_at": dg.MetadataValue.timestamp(datetime.now(UTC)),
    }
