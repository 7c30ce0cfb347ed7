"""The command ``forget``: erase people. An identity is never an argument, because other users can read arguments."""

from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

import click

from kmdb_dagster.cli.database import progress_reports, warehouse
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.identity_list import Named, parse_identities
from kmdb_dagster.lake import Lake
from kmdb_dagster.settings import Settings, load_settings
from kmdb_dagster.warehouse import Warehouse

MAX_LINES_NAMED = 20


class Request(NamedTuple):
    """The identities of a request."""

    named: int
    """How many lines of the list name an identity."""
    digests: set[bytes]
    not_found: list[int]


@click.command()
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--dry-run", is_flag=True, help="Only count what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--later", is_flag=True, help="Only record the request. The job `forget` erases.")
@click.option("--finish", is_flag=True, help="Complete earlier requests. Takes no identity.")
@click.option("--large", is_flag=True, help="Also erase people with more identities than KMDB_MOST_IDENTITIES.")
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
        request = _look_up(opened, named)
        if named:
            _echo_found(request)
            _echo_size(opened, request.digests)
        if dry_run:
            _refuse_not_found(request)
            return
        if named and not yes:
            click.confirm("Erase them? This cannot be undone.", abort=True)
        if not later:
            # Before the request is recorded: in a wrong folder, nothing may start.
            claim_folder(opened.engine, lake)
            require_parquet(opened.engine, lake)
        request_erasure(opened.engine, request.digests)
        if later:
            click.echo("Request recorded. Run the job `forget` in Dagster's UI to erase.")
        else:
            _remove(opened, lake, settings, None if large else settings.most_identities)
        _refuse_not_found(request)


def _named(file: BinaryIO | None) -> list[Named]:
    return parse_identities(click.prompt("Identity", type=str, err=True).encode() if file is None else file.read())


def _look_up(opened: Warehouse, named: Sequence[Named]) -> Request:
    """Find the first form of each line that is in the database. A line without one is requested in all its forms."""
    from kmdb_dagster.digest import digest
    from kmdb_dagster.erasure.requests import find_digests

    forms = {item.line: [digest(form) for form in item.forms] for item in named}
    there = find_digests(opened.engine, {form for line in forms.values() for form in line})
    found = {line: next((form for form in of if form in there), None) for line, of in forms.items()}
    not_found = [line for line, form in found.items() if form is None]
    return Request(
        len(named), {form for form in found.values() if form}.union(*(forms[line] for line in not_found)), not_found
    )


def _echo_found(request: Request) -> None:
    missing = f" ({_lines(request)})" if request.not_found else ""
    click.echo(
        f"{request.named:,} named, {request.named - len(request.not_found):,} found, "
        f"{len(request.not_found):,} not found{missing}"
    )


def _refuse_not_found(request: Request) -> None:
    if request.not_found:
        raise PermanentError(
            f"{len(request.not_found):,} of {request.named:,} identities are not in the database: {_lines(request)}. "
            "Compare their spelling with the table `users`. An identity that was erased before is not found either."
        )


def _lines(request: Request) -> str:
    numbers = ", ".join(map(str, request.not_found[:MAX_LINES_NAMED]))
    more = ", …" if len(request.not_found) > MAX_LINES_NAMED else ""
    return f"line{'s' if len(request.not_found) > 1 else ''} {numbers}{more}"


def _echo_size(opened: Warehouse, request: set[bytes]) -> None:
    from kmdb_dagster.erasure.digests import ErasedIdentities
    from kmdb_dagster.erasure.tables import people_of, size_of
    from kmdb_dagster.warehouse.connection.server import transaction

    with transaction(opened.engine) as connection:
        people = people_of(connection, ErasedIdentities(request))
    size = size_of(opened.engine, people)
    click.echo(
        f"{len(people)} people with {size.identities:,} identities, {size.events:,} events, {size.properties:,} "
        f"property values and {size.aliases:,} aliases are in the database. Rejected lines and files are not counted "
        "yet."
    )


def _remove(opened: Warehouse, lake: Lake, settings: Settings, most_identities: int | None) -> None:
    from kmdb_dagster.erasure.erase import erase_people

    with progress_reports("searching") as report:
        done = erase_people(
            opened,
            lake,
            numeric_apart=settings.numeric_apart,
            most_identities=most_identities,
            columnar=settings.columnar_folder,
            report=report,
        )
    click.echo(f"Removed: {done}")


COMMANDS = (forget,)
