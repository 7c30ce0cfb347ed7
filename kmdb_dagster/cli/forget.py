"""The command that forgets people: ``forget``. An identity never is an argument: those are seen by all of a machine."""

from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

import click

from kmdb_dagster.cli.database import progress_reports, warehouse
from kmdb_dagster.cli.identity_list import Named, parse_identities
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake
from kmdb_dagster.settings import Settings, load_settings
from kmdb_dagster.warehouse import Warehouse

MAX_LINES_NAMED = 20


class Asked(NamedTuple):
    """Who is asked for: the digests to erase, and the lines of the list whose identity the database does not have."""

    named: int
    digests: set[bytes]
    not_found: list[int]


@click.command()
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--dry-run", is_flag=True, help="Only say how much would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask whether to.")
@click.option("--later", is_flag=True, help="Leave the removal to the job `forget`, e.g. where the files are.")
@click.option("--finish", is_flag=True, help="Name nobody new: only remove whom somebody asked to forget before.")
@click.option("--large", is_flag=True, help="Also people of more identities than KMDB_MOST_IDENTITIES.")
def forget(  # noqa: PLR0913 - a file and five options
    file: BinaryIO | None, *, dry_run: bool, yes: bool, later: bool, finish: bool, large: bool
) -> None:
    """Erase people from the database and from all files (GDPR).

    Removes all identities of each person. No import brings them back.

    Asks for an identity, or reads FILE, an identity a line (- is standard input). It removes events, properties,
    identities, aliases, rejected lines, and what is in the files of KMDB_DATA_DIR. The bucket is not touched. Broken
    off, `kmdb forget --finish` goes on.

    A line is looked for as it stands, then without blanks and quotes around it. Lines that are not found are named by
    their number, and the exit code is 1. Later imports leave these out, too.

    \b
    Example:
        kmdb forget
        kmdb forget --dry-run people.txt
    """
    from kmdb_dagster.erasure.erase import require_parquet
    from kmdb_dagster.erasure.requests import request_erasure
    from kmdb_dagster.warehouse.connection.data_folders import claim_folder

    settings = load_settings()
    settings.required_database()
    lake = Lake(settings.data_folder)
    named = [] if finish else _named(file)
    with warehouse(settings) as opened:
        asked = _look_up(opened, named)
        if named:
            _say_who(asked)
            _say_how_much(opened, asked.digests)
        if dry_run:
            _refuse_not_found(asked)
            return
        if named and not yes:
            click.confirm("Forget them? This cannot be undone.", abort=True)
        if not later:
            # Before it is written down: in a wrong folder nothing is to begin.
            claim_folder(opened.engine, lake)
            require_parquet(opened.engine, lake)
        request_erasure(opened.engine, asked.digests)
        if later:
            click.echo("Asked for. The job `forget` in Dagster's UI removes them.")
        else:
            _remove(opened, lake, settings, None if large else settings.most_identities)
        _refuse_not_found(asked)


def _named(file: BinaryIO | None) -> list[Named]:
    return parse_identities(click.prompt("Identity", type=str, err=True).encode() if file is None else file.read())


def _look_up(opened: Warehouse, named: Sequence[Named]) -> Asked:
    """The first form of each line that the database has; all forms of a line of which it has none."""
    from kmdb_dagster.digest import digest
    from kmdb_dagster.erasure.requests import find_digests

    forms = {item.line: [digest(form) for form in item.forms] for item in named}
    there = find_digests(opened.engine, {form for line in forms.values() for form in line})
    found = {line: next((form for form in of if form in there), None) for line, of in forms.items()}
    not_found = [line for line, form in found.items() if form is None]
    return Asked(
        len(named), {form for form in found.values() if form}.union(*(forms[line] for line in not_found)), not_found
    )


def _say_who(asked: Asked) -> None:
    missing = f" ({_lines(asked)})" if asked.not_found else ""
    click.echo(
        f"{asked.named:,} named, {asked.named - len(asked.not_found):,} found, {len(asked.not_found):,} not found"
        f"{missing}"
    )


def _refuse_not_found(asked: Asked) -> None:
    if asked.not_found:
        raise PermanentError(
            f"{len(asked.not_found):,} of {asked.named:,} identities are not in the database: {_lines(asked)}. Compare "
            "their spelling with the table `users`. An identity that was erased before is not found either."
        )


def _lines(asked: Asked) -> str:
    numbers = ", ".join(map(str, asked.not_found[:MAX_LINES_NAMED]))
    more = ", …" if len(asked.not_found) > MAX_LINES_NAMED else ""
    return f"line{'s' if len(asked.not_found) > 1 else ''} {numbers}{more}"


def _say_how_much(opened: Warehouse, asked: set[bytes]) -> None:
    from kmdb_dagster.erasure.digests import ErasedIdentities
    from kmdb_dagster.erasure.tables import people_of, size_of
    from kmdb_dagster.warehouse.connection.server import transaction

    with transaction(opened.engine) as connection:
        people = people_of(connection, ErasedIdentities(asked))
    size = size_of(opened.engine, people)
    click.echo(
        f"{len(people)} people with {size.identities:,} identities, {size.events:,} events, {size.properties:,} "
        f"property values and {size.aliases:,} aliases are in. Rejected lines and files are not counted yet."
    )


def _remove(opened: Warehouse, lake: Lake, settings: Settings, most_identities: int | None) -> None:
    from kmdb_dagster.erasure.erase import erase_people

    with progress_reports("looking") as report:
        done = erase_people(
            opened,
            lake,
            numeric_apart=settings.numeric_apart,
            most_identities=most_identities,
            report=report,
        )
    click.echo(f"Removed: {done}")


COMMANDS = (forget,)
