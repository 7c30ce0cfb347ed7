"""What an operator starts by hand: a typed range of revisions, the user map made anew."""

import time
from collections.abc import Callable

import dagster as dg
from pydantic import Field

from kmdb_dagster.dagster_ext.asset_keys import REVISION_ASSETS
from kmdb_dagster.dagster_ext.backfills import request_range
from kmdb_dagster.dagster_ext.failures import plainly
from kmdb_dagster.defs.confirmation import Confirmation, require_confirmation
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.table_partitions import DDL_TAGS, drop_partitions, partition_tables
from kmdb_dagster.erasure.erase import erase_people
from kmdb_dagster.km_export.layout import HIGHEST_REVISION
from kmdb_dagster.lake import Lake
from kmdb_dagster.warehouse.identity.rebuild import realias
from kmdb_dagster.warehouse.identity.user_map import move_facts
from kmdb_dagster.warehouse.maintenance import indexes

SECONDS_BETWEEN_LINES = 10.0

import_revisions = dg.define_asset_job(
    "import_revisions",
    selection=dg.AssetSelection.assets(*REVISION_ASSETS),
    description="Imports the revisions of a run. The sensor `new_revisions` starts it; for a range of your own use "
    "`import_range`.",
)


class RevisionRange(dg.Config):
    """Two revision numbers."""

    first: int = Field(ge=1, le=HIGHEST_REVISION, description="The first revision to import.")
    last: int = Field(ge=1, le=HIGHEST_REVISION, description="The last revision to import.")


@dg.op
def request_backfill(context: dg.OpExecutionContext, config: RevisionRange, kmdb: Kmdb) -> None:
    """Start a backfill over the range. It is imported anew where it is in already."""
    with plainly():
        backfill = request_range(context.instance, kmdb, config.first, config.last).id
    context.log.info("Backfill %s is on its way: see Runs, Backfills, or /runs/b/%s", backfill, backfill)
    context.add_output_metadata({"backfill": dg.MetadataValue.path(f"/runs/b/{backfill}")})


@dg.job(
    config=dg.RunConfig(ops={"request_backfill": RevisionRange(first=1, last=1)}),
    description="Type two revision numbers into the Launchpad: they become one backfill over all five assets.",
)
def import_range() -> None:
    """A typed range of revisions."""
    request_backfill()


class _Progress:
    """Log lines on the progress: the first of each thing that is done, then one every ten seconds."""

    def __init__(self, log: Callable[[str], object]) -> None:
        self._log = log
        self._what = ""
        self._last = 0.0

    def __call__(self, what: str, done: int, of: int) -> None:
        """Take note."""
        if what != self._what or time.monotonic() - self._last > SECONDS_BETWEEN_LINES or done == of:
            self._log(f"{what}: {done:,}" + (f" of {of:,}" if of else ""))
            self._what, self._last = what, time.monotonic()


@dg.op
def rebuild_user_map(context: dg.OpExecutionContext, kmdb: Kmdb) -> None:
    """Make the user map anew from `aliases` and put every fact under its person."""
    with plainly(), kmdb.warehouse() as warehouse:
        done = realias(
            warehouse.engine,
            warehouse.generation(),
            numeric_apart=kmdb.settings().numeric_apart,
            report=_Progress(context.log.info),
        )
    context.add_output_metadata({"identities_moved": done.identities, "identities_whose_facts_moved": done.moved})


@dg.job(
    name="realias",
    tags=DDL_TAGS,
    description="Makes the user map anew from the table `aliases`, and puts every fact under its person. Imports keep "
    "the map up to date by themselves; this is for other placeholders, other ignored users, another "
    "KMDB_NUMERIC_APART, and changes made by hand.",
)
def realias_job() -> None:
    """The user map made anew."""
    rebuild_user_map()


class ForgetOptions(Confirmation):
    """Nothing of a person: what is typed into the Launchpad is kept and shown."""

    large: bool = Field(
        default=False, description="Also people of more identities than KMDB_MOST_IDENTITIES. It needs `confirm`."
    )


@dg.op
def remove_people(context: dg.OpExecutionContext, config: ForgetOptions, kmdb: Kmdb) -> None:
    """Remove all people whom somebody asked to forget."""
    with plainly(), kmdb.warehouse() as warehouse:
        settings = kmdb.settings()
        if config.large:
            require_confirmation(config, warehouse, "forget people of many identities")
        done = erase_people(
            warehouse,
            Lake(settings.data_folder),
            numeric_apart=settings.numeric_apart,
            most_identities=None if config.large else settings.most_identities,
            report=_Progress(context.log.info),
        )
    context.add_output_metadata(done._asdict())


@dg.job(
    tags=DDL_TAGS,
    config=dg.RunConfig(ops={"remove_people": ForgetOptions()}),
    description="Removes the people whom `kmdb forget --later` asked to forget, or whose removal was broken off. An "
    "identity is personal data, so it is not typed here.",
)
def forget() -> None:
    """People forgotten."""
    remove_people()


@dg.op
def take_indexes_away(context: dg.OpExecutionContext, kmdb: Kmdb) -> None:
    """Drop the secondary indexes of `events` and `properties`."""
    with plainly(), kmdb.warehouse() as warehouse:
        context.add_output_metadata({"statements": indexes.drop(warehouse.engine)})


@dg.job(
    tags=DDL_TAGS,
    description="Takes the secondary indexes of `events` and `properties` away, for the import of a long history. "
    "`build_indexes` after it.",
)
def drop_indexes() -> None:
    """No indexes."""
    take_indexes_away()


@dg.op
def build_what_is_away(context: dg.OpExecutionContext, kmdb: Kmdb) -> None:
    """Build the indexes that are away, then let the facts that wait follow."""
    with plainly(), kmdb.warehouse() as warehouse:
        statements = indexes.build(warehouse.engine)
        moved = move_facts(warehouse.engine, _Progress(context.log.info))
    context.add_output_metadata({"statements": statements, "identities_whose_facts_moved": moved})


@dg.job(
    tags=DDL_TAGS,
    description="Builds the secondary indexes of `events` and `properties` that are away. Imports wait for its end.",
)
def build_indexes() -> None:
    """All indexes."""
    build_what_is_away()


JOBS = (
    import_revisions,
    import_range,
    partition_tables,
    drop_partitions,
    drop_indexes,
    build_indexes,
    realias_job,
    forget,
)
