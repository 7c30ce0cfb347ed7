"""Real runs of the import on an instance, in this process."""

import dagster as dg

from kmdb_dagster.definitions import definitions
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.revisions import register


def import_range(
    instance: dg.DagsterInstance, kmdb: Kmdb, first: int, last: int, *, only: list[str] | None = None
) -> dg.ExecuteInProcessResult:
    """Run the import over a range of revisions, of all five assets or of some."""
    with kmdb.warehouse() as warehouse:
        register(instance, warehouse, first, last)
    return (
        definitions()
        .resolve_job_def("import_revisions")
        .execute_in_process(
            instance=instance,
            tags={"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)},
            asset_selection=[dg.AssetKey(name) for name in only] if only else None,
            raise_on_error=False,
        )
    )
