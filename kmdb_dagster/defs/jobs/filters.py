"""The jobs about filters: change them (`change_filters`), and reload what was loaded with other ones (`apply_filters`).

Run configuration is kept and shown, so it holds no identity: ignored identities and placeholders are `users.id`.
"""

import dagster as dg
from pydantic import Field

from kmdb_dagster.dagster_ext.backfills import request_reload
from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.dagster_ext.progress_log import ProgressLog
from kmdb_dagster.defs.assets.filters import filters_metadata, preview_metadata
from kmdb_dagster.defs.jobs.tags import DDL_TAGS
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.lake import Lake
from kmdb_dagster.pipeline.filter_preview import preview_reload
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.identity.rebuild import realias
from kmdb_dagster.warehouse.identity.rules import is_rule_pending
from kmdb_dagster.warehouse.maintenance.filter_changes import (
    Change,
    NameList,
    apply_change,
    filters_after,
    names_of_ids,
    read_filters_in_force,
)


class FilterChanges(dg.Config):
    """Names to add to filters, or to remove from them."""

    whitelist: list[str] = Field(default=[], description="Names of events. An empty whitelist admits every event.")
    blacklist: list[str] = Field(default=[], description="Names of properties.")
    ignore: list[int] = Field(
        default=[],
        description="Identities to ignore, as `users.id`. An identity is personal data: do not type it here. "
        "`kmdb filter ignore add` reads identities.",
    )
    placeholder: list[int] = Field(default=[], description="Placeholder identities, as `users.id`.")
    remove: bool = Field(default=False, description="Remove these from the filters instead of adding them.")
    dry_run: bool = Field(default=True, description="Only show how many rows a reload would add or remove.")


@dg.op
def change_names(context: dg.OpExecutionContext, config: FilterChanges, kmdb: Kmdb) -> None:
    """Change the filters unless this is a dry run, and preview the reload."""
    settings = kmdb.settings()
    with as_dagster_failure(dry_run=config.dry_run), kmdb.warehouse() as warehouse:
        changes = _changes(warehouse, config)
        with transaction(warehouse.engine) as connection:
            wanted = filters_after(connection, changes)
        preview = preview_reload(warehouse.engine, Lake(settings.data_folder), wanted)
        changed = [] if config.dry_run else [apply_change(warehouse.engine, change) for change in changes]
        found = read_filters_in_force(warehouse.engine, numeric_apart=settings.numeric_apart)
    context.log.info("%s", preview)
    if config.dry_run:
        context.log.info("A dry run: nothing is changed.")
    elif not found.is_current:
        context.log.info("The filters are changed. Run the job apply_filters to reload.")
    context.add_output_metadata(
        {
            "dry_run": config.dry_run,
            "names_added": sum(change.added for change in changed),
            "names_removed": sum(change.removed for change in changed),
            "erased_names_refused": sum(change.erased for change in changed),
            **filters_metadata(found),
            **preview_metadata(preview),
        }
    )


def _changes(warehouse: Warehouse, config: FilterChanges) -> list[Change]:
    given = {
        NameList.WHITELIST: frozenset(config.whitelist),
        NameList.BLACKLIST: frozenset(config.blacklist),
        NameList.IGNORE: names_of_ids(warehouse.engine, config.ignore),
        NameList.PLACEHOLDER: names_of_ids(warehouse.engine, config.placeholder),
    }
    verb = "remove" if config.remove else "add"
    return [Change(names, **{verb: values}) for names, values in given.items() if values]


@dg.job(
    config=dg.RunConfig(ops={"change_names": FilterChanges()}),
    description="Adds names to the filters, or removes them. A dry run shows how many rows a reload would add or "
    "remove. Imports follow the filters from then on; `apply_filters` reloads what is imported already.",
)
def change_filters() -> None:
    """Change the filters."""
    change_names()


@dg.op
def reload_filtered(context: dg.OpExecutionContext, kmdb: Kmdb) -> None:
    """Rebuild the user map if its rule is pending, then request a backfill of what was loaded with other filters."""
    settings = kmdb.settings()
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        if is_rule_pending(warehouse.engine, numeric_apart=settings.numeric_apart):
            report = ProgressLog(context.log.info)
            done = realias(
                warehouse.engine, warehouse.generation(), numeric_apart=settings.numeric_apart, report=report
            )
            context.add_output_metadata({"identities_moved": done.identities})
        backfill = request_reload(context.instance, kmdb)
    context.add_output_metadata({"revisions": len(backfill.revisions)})
    if backfill.id:
        context.log.info("Requested backfill %s: see Runs, Backfills, or /runs/b/%s", backfill.id, backfill.id)
        context.add_output_metadata({"backfill": dg.MetadataValue.path(f"/runs/b/{backfill.id}")})


@dg.job(
    tags=DDL_TAGS,
    description="Puts the filters into force on what is imported: rebuilds the user map if placeholders, ignored "
    "identities or KMDB_NUMERIC_APART changed, and loads revisions that were loaded with other filters again, from "
    "their Parquet, as one backfill.",
)
def apply_filters() -> None:
    """Reload what was loaded with other filters."""
    reload_filtered()
