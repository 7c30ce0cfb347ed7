"""The asset `filters`: how many names each filter has, and what a reload would change. It shows no name."""

from datetime import UTC, datetime

import dagster as dg

from kmdb_dagster.dagster_ext.asset_keys import EVENTS, FILTERS, PROPERTIES
from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.defs.automation_conditions import EVERY_NIGHT, FRESH
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.km_export.layout import describe_ranges
from kmdb_dagster.lake import Lake
from kmdb_dagster.pipeline.filter_preview import Preview, preview_reload
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.identity.rules import RULE_IS_PENDING
from kmdb_dagster.warehouse.loading.filters import read_filters
from kmdb_dagster.warehouse.maintenance.filter_changes import FiltersInForce, read_filters_in_force


@dg.asset(
    key=FILTERS,
    deps=[EVENTS, PROPERTIES],
    kinds={"mysql"},
    automation_condition=EVERY_NIGHT,
    freshness_policy=FRESH,
    description="How many names each filter has, which revisions were loaded with other filters, and how many rows a "
    "reload would add or remove.\n\n**Materialize** looks now, and changes nothing. The job "
    "[change_filters](/locations/kmdb_dagster/jobs/change_filters) changes filters, "
    "[apply_filters](/locations/kmdb_dagster/jobs/apply_filters) reloads.",
)
def filters(kmdb: Kmdb) -> dg.MaterializeResult[None]:
    """Count the names, and preview the reload."""
    settings = kmdb.settings()
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        found = read_filters_in_force(warehouse.engine, numeric_apart=settings.numeric_apart)
        with transaction(warehouse.engine) as connection:
            current = read_filters(connection)
        preview = preview_reload(warehouse.engine, Lake(settings.data_folder), current)
    return dg.MaterializeResult(
        metadata={
            **filters_metadata(found),
            **preview_metadata(preview),
            "made_at": dg.MetadataValue.timestamp(datetime.now(UTC)),
        }
    )


def filters_metadata(found: FiltersInForce) -> dict[str, int | str]:
    """Return the counts of names, and what was loaded or resolved with other ones."""
    return {
        **{str(names): count for names, count in found.counts.items()},
        "loaded_with_other_filters": describe_ranges(found.other),
        "revisions_without_recorded_filters": found.not_recorded,
        "identity_rule": RULE_IS_PENDING if found.is_rule_pending else "in force",
    }


def preview_metadata(preview: Preview) -> dict[str, int | str]:
    """Return what a reload would change."""
    return {
        "reload": str(preview),
        "revisions_to_reload": preview.revisions,
        "events_to_remove": preview.removed.events,
        "events_to_add": preview.added.events,
        "properties_to_remove": preview.removed.properties,
        "properties_to_add": preview.added.properties,
    }
