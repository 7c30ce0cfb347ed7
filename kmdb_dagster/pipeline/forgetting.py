"""A person is forgotten: in the tables, and in the files of the lake. Run again, it goes on where it was.

Who is asked for is in `forgotten_identities` before anything is removed; what is done here is to make all else agree
with it, until nothing that was asked for is left to do.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.export.file_formats import decompressed
from kmdb_dagster.export.forgotten import Forgotten
from kmdb_dagster.export.reader import read_lines
from kmdb_dagster.export.records import Alias, Blank, Record, Rejected
from kmdb_dagster.lake import Blotter, Lake
from kmdb_dagster.lake.blotting import rewrite
from kmdb_dagster.lake.files import disk
from kmdb_dagster.pipeline.steps import patiently
from kmdb_dagster.source.folder import CHUNK
from kmdb_dagster.warehouse import Warehouse, forget
from kmdb_dagster.warehouse.ddl.indexes import INDEXES_WAIT, indexes_wait
from kmdb_dagster.warehouse.people.user_map import Report, move_facts

A_DAY = 24 * 3600.0
"""No file is written for longer."""

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


def forget_people(
    warehouse: Warehouse,
    lake: Lake,
    *,
    numeric_apart: bool,
    most_identities: int | None,
    report: Report = lambda *_: None,
) -> Done:
    """Remove all people that are to be forgotten. May be killed anywhere and run again.

    Raises:
        PermanentError: some have more than so many identities; all others were removed. Or indexes are away.
    """
    if indexes_wait(warehouse.engine):
        raise PermanentError(
            f"{INDEXES_WAIT} Nobody can be found without them. Then run `kmdb forget --finish`: who was asked for is "
            "written down, and nothing more of them comes in."
        )
    lake.prepare()
    found: Counter[str] = Counter()
    while True:
        marked = _retried(partial(_remove_from_tables, warehouse, most_identities, found, report))
        if not marked.digests:
            break
        forgotten = warehouse.forgotten()
        found["rejected_lines"] += _retried(partial(forget.remove_rejected, warehouse.engine, forgotten, report))
        tied = _remove_from_lake(lake, forgotten, found, report)
        warehouse.forget_tied(tied, numeric_apart=numeric_apart)
        forget.remove_from_filters(warehouse.engine, forgotten)
        forget.note_done(warehouse.engine, marked.digests)
    if marked.large:
        raise PermanentError(
            f"{marked.large} people that are to be forgotten have more than {most_identities} identities "
            "(KMDB_MOST_IDENTITIES): an alias with a placeholder may have made strangers one. Put the placeholder into "
            "placeholder_identities and run `kmdb realias`, then `kmdb forget` again. If it is one person: "
            "`kmdb forget --large`. All others are forgotten."
        )
    return Done(**found)


def _retried(work: Callable[[], T]) -> T:
    return patiently(work)()


def _remove_from_tables(
    warehouse: Warehouse, most_identities: int | None, found: Counter[str], report: Report
) -> forget.Marked:
    engine, generation = warehouse.engine, warehouse.generation()
    marked = forget.mark_people(engine, generation, most_identities)
    # A fact that is still to follow its person would not be found.
    move_facts(engine, report)
    for number, person in enumerate(marked.people, start=1):
        found.update(forget.remove_person(engine, generation, person)._asdict())
        report("removing people", number, len(marked.people))
    return marked


def _remove_from_lake(lake: Lake, forgotten: Forgotten, found: Counter[str], report: Report) -> set[tuple[str, str]]:
    """Returns the aliases with others that forgotten identities had in it."""
    blotter = Blotter(forgotten)
    lake.drop_left_over(A_DAY)
    for path in lake.all_raw():
        if _holds(path, forgotten):
            with disk(path):
                path.unlink(missing_ok=True)
            found["raw_files"] += 1
    files = list(lake.all_parsed())
    for number, path in enumerate(files, start=1):
        found["parquet_files"] += _retried(partial(rewrite, path, blotter))
        report("looking through Parquet, files", number, len(files))
    return blotter.tied


def _holds(path: Path, forgotten: Forgotten) -> bool:
    with disk(path):
        try:
            file = path.open("rb")
        except FileNotFoundError:  # it was parsed meanwhile
            return False
        with file:
            records = read_lines(decompressed(iter(lambda: file.read(CHUNK), b"")))
            try:
                return any(_names(record, forgotten) for record in records)
            except PermanentError:  # the rest of damaged gzip may name anyone
                return True


def _names(record: Record, forgotten: Forgotten) -> bool:
    if isinstance(record, Rejected):
        return forgotten.named_in(record.raw)
    if isinstance(record, Blank):
        return False
    return record.identity in forgotten or (isinstance(record, Alias) and record.alias in forgotten)
