"""Erase the requested people from the tables and from a data folder. Idempotent: a run that was killed is repeated.

The requests are in `forgotten_identities` before anything is removed. `erase_people` repeats its rounds until no
request is left, because files may show more identities of the same people.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from sqlalchemy import Engine

from kmdb_dagster.columnar.folder import copy_below
from kmdb_dagster.erasure import tables
from kmdb_dagster.erasure.columnar_copy import erase_from_copy
from kmdb_dagster.erasure.files import erase_from_lake
from kmdb_dagster.erasure.redaction import Redactor
from kmdb_dagster.erasure.rejected_lines import remove_rejected_lines
from kmdb_dagster.erasure.requests import complete_erasures, record_searched
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.km_export.layout import describe_ranges
from kmdb_dagster.lake import Lake
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.bindings import KnownFolder, revisions_of_unknown_folders
from kmdb_dagster.warehouse.connection.data_folders import MAX_FOLDERS_NAMED, claim_folder, places
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.identity.user_map import Progress, move_facts
from kmdb_dagster.warehouse.maintenance.indexes import INDEXES_ARE_MISSING, is_any_index_missing

T = TypeVar("T")


class ErasureCounts(NamedTuple):
    """Rows and files that were removed."""

    identities: int = 0
    events: int = 0
    properties: int = 0
    aliases: int = 0
    rejected_lines: int = 0
    raw_files: int = 0
    parquet_files: int = 0
    temporary_files: int = 0
    columnar_files: int = 0

    def __str__(self) -> str:
        """Return the counts as text, e.g. ``3 identities, 214 events``."""
        return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self._asdict().items())


def erase_people(  # noqa: PLR0913 - three places and three options
    warehouse: Warehouse,
    lake: Lake,
    *,
    numeric_apart: bool,
    most_identities: int | None,
    columnar: Path | None = None,
    report: Progress = lambda *_: None,
) -> ErasureCounts:
    """Erase all people with a request from the tables, from this data folder and from the columnar copy.

    Args:
        warehouse: the database.
        lake: the data folder.
        numeric_apart: KMDB_NUMERIC_APART.
        most_identities: skip people with more identities (KMDB_MOST_IDENTITIES); None: skip no person.
        columnar: the folder of the columnar copy; None: the one below the data folder.
        report: called with what is being done, how much is done, and of how much.

    Raises:
        PermanentError: people were skipped, or other data folders must still be searched; the rest was erased. Or
            indexes are missing, or the data folder belongs to another database; nothing was erased.
    """
    if is_any_index_missing(warehouse.engine):
        raise PermanentError(
            f"{INDEXES_ARE_MISSING} Erasure needs them. Then run `kmdb forget --finish`. Requests are recorded, and "
            "imports redact these people from now on."
        )
    folder = claim_folder(warehouse.engine, lake)
    require_parquet(warehouse.engine, lake)
    found: Counter[str] = Counter()
    while True:
        marked = _retried(partial(_erase_from_tables, warehouse, most_identities, folder, found, report))
        if not marked.digests:
            break
        redact = Redactor(warehouse.erased_digests())
        found["rejected_lines"] += _retried(partial(remove_rejected_lines, warehouse.engine, redact.erased, report))
        erase_from_lake(lake, redact, found, report)
        redact.extend_erasures(warehouse.engine, numeric_apart=numeric_apart)
        tables.remove_from_filters(warehouse.engine, redact.erased)
        record_searched(warehouse.engine, marked.digests, folder)
    found["columnar_files"] += erase_from_copy(
        warehouse.engine, lake, columnar or copy_below(lake.root), folder, report
    )
    unsearched = complete_erasures(warehouse.engine, folder)
    if marked.large:
        raise _too_large(marked.large, most_identities)
    if unsearched:
        raise _incomplete(unsearched, ErasureCounts(**found))
    return ErasureCounts(**found)


def require_parquet(engine: Engine, lake: Lake) -> None:
    """Refuse an erasure that does not reach the Parquet of all imported revisions.

    Raises:
        PermanentError: the Parquet of some revisions is missing here, and no data folder is recorded for them.
    """
    with transaction(engine) as connection:
        missing = revisions_of_unknown_folders(connection) - lake.parsed_revisions()
    if missing:
        raise PermanentError(
            f"Data folder {lake.root} lacks the Parquet of {len(missing):,} imported revisions. Nothing was removed. "
            f"They are: {describe_ranges(missing)}. If their Parquet is in other folders, run `kmdb confirm data-dir` "
            "on each machine that has one, with KMDB_DATA_DIR set to it. If it was deleted, run it here. "
            "Then try again."
        )


def _too_large(people: int, most_identities: int | None) -> PermanentError:
    return PermanentError(
        f"Not erased: {people} people with more than {most_identities} identities (KMDB_MOST_IDENTITIES). An alias of "
        "a placeholder may have merged strangers. If so, insert the placeholder into placeholder_identities, run "
        "`kmdb realias`, then `kmdb forget` again. If each is one person, run `kmdb forget --finish --large`. All "
        "other people are erased."
    )


def _incomplete(unsearched: list[KnownFolder], counts: ErasureCounts) -> PermanentError:
    ids = ", ".join(folder.id.hex() for folder in unsearched[:MAX_FOLDERS_NAMED])
    return PermanentError(
        f"The erasure is not complete: {len(unsearched)} data folders are still to be searched. They are: "
        f"{places(unsearched)}. Run `kmdb forget --finish` on their machines, with KMDB_DATA_DIR set to them. If a "
        f"folder no longer exists, run `kmdb confirm data-dir --removed ID` (here: {ids}), then `kmdb forget --finish`."
        f" Removed so far: {counts}."
    )


def _retried(work: Callable[[], T]) -> T:
    return retry_transient(work)()


def _erase_from_tables(
    warehouse: Warehouse, most_identities: int | None, folder: bytes, found: Counter[str], report: Progress
) -> tables.Marked:
    engine, generation = warehouse.engine, warehouse.generation()
    marked = tables.mark_people(engine, generation, most_identities, folder)
    # Facts with a pending move still carry a previous person id, and would be missed.
    move_facts(engine, report)
    for number, person in enumerate(marked.people, start=1):
        found.update(tables.remove_person(engine, generation, person)._asdict())
        report("removing people", number, len(marked.people))
    return marked
