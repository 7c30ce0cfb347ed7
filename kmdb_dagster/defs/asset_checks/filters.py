"""The check of the asset `filters`."""

import dagster as dg

from kmdb_dagster.dagster_ext.asset_keys import FILTERS
from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.defs.assets.filters import filters_metadata
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.warehouse.maintenance.filter_changes import read_filters_in_force


@dg.asset_check(
    asset=FILTERS,
    description="Every imported revision was loaded with the filters as they are now, and the user map follows the "
    "current placeholders, ignored identities and KMDB_NUMERIC_APART. If not, run the job `apply_filters`. The asset "
    "`filters` shows how many rows it would add or remove.",
)
def filters_in_force(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Compare what is loaded with the filters."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        found = read_filters_in_force(warehouse.engine, numeric_apart=kmdb.settings().numeric_apart)
    return dg.AssetCheckResult(
        passed=found.is_current,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            **filters_metadata(found),
            **({} if found.is_current else {"repair": "Run the job apply_filters, or `kmdb filter apply`."}),
        },
    )
