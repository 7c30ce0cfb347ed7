"""A person is forgotten: in the tables, and in the files of the lake. Run again, it goes on where it was.

Who is asked for is in `forgotten_identities` before anything is removed; what is done here is to make all else agree
with it, until nothing that was asked for is left to do.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

from kmdb_dagster.erasure import tables
from kmdb_dagster.erasure.digests import Forgotten
from kmdb_dagster.erasure.redaction import rewrite
from kmdb_dagster.erasure.requests import complete_erasures, note_searched
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.km_export.file_formats import decompressed, name_of_other_format
from kmdb_dagster.km_export.reader import read_lines
from kmdb_dagster.km_export.records import Alias, Blank, Record, Rejected
from kmdb_dagster.lake import Lake, Redactor
from kmdb_dagster.lake.files import translate_os_errors
from kmdb_dagster.lake.locks import exclusive, writing
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.source.folder import CHUNK
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.bindings import KnownFolder
from kmdb_dagster.warehouse.connection.data_folders import MAX_FOLDERS_NAMED, claim_folder, places, require_parquet
from kmdb_dagster.warehouse.identity.user_map import Report, move_facts
from kmdb_dagster.warehouse.maintenance.indexes import INDEXES_WAIT, indexes_wait

WRITERS_TIMEOUT_SECONDS = 600.0
"""A run writes one file at a time, and a large one takes minutes."""

T = TypeVar("T")


class Done(NamedTuple):
    """What was removed, in rows and files."""

    identities: int = 0
    events: int = 0
    properties: int = 0
    aliases: int = 0
    rejected_lines: int = 0
    raw_files: int = 0
    parquet_files: int = 0
    temporary_files: int = 0

    def __str__(self) -> str:
        """The counts, for people."""
        return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self._asdict().items())


def erase_people(
    warehouse: Warehouse,
    lake: Lake,
    *,
    numeric_apart: bool,
    most_identities: int | None,
    report: Report = lambda *_: None,
) -> Done:
    """Remove all people that are to be forgotten. May be killed anywhere and run again.

    Raises:
        PermanentError: some have more than so many identities, or other data folders are to be searched, too; all else
            was removed. Or indexes are missing, or the data folder is not this database's: nothing was removed.
    """
    if indexes_wait(warehouse.engine):
        raise PermanentError(
            f"{INDEXES_WAIT} Nobody can be found without them. Then run `kmdb forget --finish`: who was asked for is "
            "written down, and nothing more of them comes in."
        )
    folder = claim_folder(warehouse.engine, lake)
    require_parquet(warehouse.engine, lake)
    found: Counter[str] = Counter()
    while True:
        marked = _retried(partial(_remove_from_tables, warehouse, most_identities, folder, found, report))
        if not marked.digests:
            break
        forgotten = warehouse.forgotten()
        found["rejected_lines"] += _retried(partial(tables.remove_rejected, warehouse.engine, forgotten, report))
        tied = _remove_from_lake(lake, forgotten, found, report)
        warehouse.forget_tied(tied, numeric_apart=numeric_apart)
        tables.remove_from_filters(warehouse.engine, forgotten)
        note_searched(warehouse.engine, marked.digests, folder)
    unsearched = complete_erasures(warehouse.engine, folder)
    if marked.large:
        raise PermanentError(
            f"{marked.large} people that are to be forgotten have more than {most_identities} identities "
            "(KMDB_MOST_IDENTITIES): an alias with a placeholder may have made strangers one. Put the placeholder into "
            "placeholder_identities and run `kmdb realias`, then `kmdb forget` again. If it is one person: "
            "`kmdb forget --large`. All others are forgotten."
        )
    if unsearched:
        raise _incomplete(unsearched, Done(**found))
    return Done(**found)


def _incomplete(unsearched: list[KnownFolder], done: Done) -> PermanentError:
    ids = ", ".join(folder.id.hex() for folder in unsearched[:MAX_FOLDERS_NAMED])
    return PermanentError(
        f"The erasure is not complete: {len(unsearched)} data folders are still to be searched. They are: "
        f"{places(unsearched)}. Run `kmdb forget --finish` on their machines, with KMDB_DATA_DIR set to them. If a "
        f"folder no longer exists, run `kmdb confirm data-dir --removed ID` (here: {ids}), then `kmdb forget --finish`."
        f" Removed so far: {done}."
    )


def _retried(work: Callable[[], T]) -> T:
    return retry_transient(work)()


def _remove_from_tables(
    warehouse: Warehouse, most_identities: int | None, folder: bytes, found: Counter[str], report: Report
) -> tables.Marked:
    engine, generation = warehouse.engine, warehouse.generation()
    marked = tables.mark_people(engine, generation, most_identities, folder)
    # A fact that is still to follow its person would not be found.
    move_facts(engine, report)
    for number, person in enumerate(marked.people, start=1):
        found.update(tables.remove_person(engine, generation, person)._asdict())
        report("removing people", number, len(marked.people))
    return marked


def _remove_from_lake(lake: Lake, forgotten: Forgotten, found: Counter[str], report: Report) -> set[tuple[str, str]]:
    """Returns the aliases with others that forgotten identities had in it."""
    redactor = Redactor(forgotten)
    with exclusive(lake.root, WRITERS_TIMEOUT_SECONDS):
        found["temporary_files"] += lake.drop_left_over()
    for path in lake.all_raw():
        if _holds(path, forgotten):
            with translate_os_errors(path):
                path.unlink(missing_ok=True)
            found["raw_files"] += 1
    files = list(lake.all_parsed())
    for number, path in enumerate(files, start=1):
        with writing(lake.root):
            found["parquet_files"] += _retried(partial(rewrite, path, redactor))
        report("looking through Parquet, files", number, len(files))
    return redactor.tied


def _holds(path: Path, forgotten: Forgotten) -> bool:
    """Whether a raw copy names a forgotten person, or is not readable as lines, so that this is unknown."""
    with translate_os_errors(path):
        try:
            file = path.open("rb")
        except FileNotFoundError:  # a run has parsed and removed it
            return False
        with file:
            lines = decompressed(iter(lambda: file.read(CHUNK), b""))
            try:
                head = next(lines, b"")
                records = read_lines(chain([head], lines))
                return bool(name_of_other_format(head)) or any(_names(record, forgotten) for record in records)
            except PermanentError:  # damaged gzip
                return True


def _names(record: Record, forgotten: Forgotten) -> bool:
    if isinstance(record, Rejected):
        return forgotten.named_in(record.raw)
    if isinstance(record, Blank):
        return False
    return record.identity in forgotten or (isinstance(record, Alias) and record.alias in forgotten)
