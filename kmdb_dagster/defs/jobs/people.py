"""The jobs about people: rebuild the user map (`realias`), erase people (`forget`)."""

import dagster as dg
from pydantic import Field

from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.dagster_ext.progress_log import ProgressLog
from kmdb_dagster.defs.jobs.confirmation import Confirmation, require_confirmation
from kmdb_dagster.defs.jobs.tags import DDL_TAGS
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.erasure.erase import erase_people
from kmdb_dagster.lake import Lake
from kmdb_dagster.warehouse.identity.rebuild import preview_realias, realias


class RealiasOptions(dg.Config):
    """Options of `realias`."""

    dry_run: bool = Field(default=False, description="Only count the identities that would get another person.")


@dg.op
def rebuild_user_map(context: dg.OpExecutionContext, config: RealiasOptions, kmdb: Kmdb) -> None:
    """Rebuild the user map from `aliases`, and move every fact to its person."""
    if config.dry_run:
        _preview(context, kmdb)
        return
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        done = realias(
            warehouse.engine,
            warehouse.generation(),
            numeric_apart=kmdb.settings().numeric_apart,
            report=ProgressLog(context.log.info),
        )
    context.add_output_metadata({"identities_moved": done.identities, "identities_whose_facts_moved": done.moved})


def _preview(context: dg.OpExecutionContext, kmdb: Kmdb) -> None:
    with as_dagster_failure(dry_run=True), kmdb.warehouse() as warehouse:
        preview = preview_realias(
            warehouse.engine, numeric_apart=kmdb.settings().numeric_apart, report=ProgressLog(context.log.info)
        )
    context.log.info("%s A dry run: nothing is changed.", preview)
    context.add_output_metadata(
        {
            "dry_run": True,
            "identities_to_move": preview.identities,
            "people": preview.people,
            "people_then": preview.people_then,
        }
    )


@dg.job(
    name="realias",
    tags=DDL_TAGS,
    config=dg.RunConfig(ops={"rebuild_user_map": RealiasOptions()}),
    description="Rebuilds the user map from the table `aliases`, and moves every fact to its person. Imports keep the "
    "map up to date by themselves. Run it after you change placeholders, ignored users or KMDB_NUMERIC_APART, or edit "
    "the tables by hand. `dry_run: true` only counts the identities that would get another person.",
)
def realias_job() -> None:
    """Rebuild the user map."""
    rebuild_user_map()


class ForgetOptions(Confirmation):
    """Options of `forget`. They name no person: what is typed into the Launchpad is kept and shown."""

    large: bool = Field(
        default=False,
        description="Also erase people of more identities than KMDB_MOST_IDENTITIES. It needs `confirm`.",
    )


@dg.op
def remove_people(context: dg.OpExecutionContext, config: ForgetOptions, kmdb: Kmdb) -> None:
    """Erase every person whose erasure is requested."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        settings = kmdb.settings()
        if config.large:
            require_confirmation(config, warehouse, "forget people of many identities")
        done = erase_people(
            warehouse,
            Lake(settings.data_folder),
            numeric_apart=settings.numeric_apart,
            most_identities=None if config.large else settings.most_identities,
            columnar=settings.columnar_folder,
            report=ProgressLog(context.log.info),
        )
    context.add_output_metadata(done._asdict())


@dg.job(
    tags=DDL_TAGS,
    config=dg.RunConfig(ops={"remove_people": ForgetOptions()}),
    description="Erases the people that `kmdb forget --later` requested, and those whose erasure was interrupted. An "
    "identity is personal data, so you do not type it here.",
)
def forget() -> None:
    """Erase people."""
    remove_people()
