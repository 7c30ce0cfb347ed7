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
from kmdb_dagster.warehouse.identity.rebuild import realias


@dg.op
def rebuild_user_map(context: dg.OpExecutionContext, kmdb: Kmdb) -> None:
    """Rebuild the user map from `aliases`, and move every fact to its person."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        done = realias(
            warehouse.engine,
            warehouse.generation(),
            numeric_apart=kmdb.settings().numeric_apart,
            report=ProgressLog(context.log.info),
        )
    context.add_output_metadata({"identities_moved": done.identities, "identities_whose_facts_moved": done.moved})


@dg.job(
    name="realias",
    tags=DDL_TAGS,
    description="Rebuilds the user map from the table `aliases`, and moves every fact to its person. Imports keep the "
    "map up to date by themselves. Run it after you change placeholders, ignored users or KMDB_NUMERIC_APART, or edit "
    "the tables by hand.",
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
