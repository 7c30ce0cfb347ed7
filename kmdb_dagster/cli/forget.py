"""The command that forgets people: ``forget``. An identity never is an argument: those are seen by all of a machine."""

from collections.abc import Iterable
from typing import BinaryIO

import click

from kmdb_dagster.cli.database import progress_reports, warehouse
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.settings import Settings, load_settings
from kmdb_dagster.warehouse import Warehouse


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
    """Forget people: all that is here of them, under all of their identities. No import brings it back.

    Asks for an identity, or reads FILE, an identity a line (- is standard input). It removes events, properties,
    identities, aliases, rejected lines, and what is in the files of KMDB_DATA_DIR. The bucket is not touched. Broken
    off, `kmdb forget --finish` goes on.

    \b
    Example:
        kmdb forget
        kmdb forget --dry-run people.txt
    """
    from kmdb_dagster.export.forgotten import digest
    from kmdb_dagster.warehouse.forgotten import ask_to_forget

    settings = load_settings()
    settings.required_database()
    asked = {digest(name) for name in _identities(file)} if not finish else set()
    with warehouse(settings) as opened:
        if asked:
            _say_how_much(opened, asked)
        if dry_run:
            return
        if asked and not yes:
            click.confirm("Forget them? This cannot be undone.", abort=True)
        ask_to_forget(opened.engine, asked)
        if later:
            click.echo("Asked for. The job `forget` in Dagster's UI removes them.")
            return
        _remove(opened, settings, None if large else settings.most_identities)


def _identities(file: BinaryIO | None) -> Iterable[str]:
    text = click.prompt("Identity", type=str, err=True) if file is None else _text(file)
    names = [name.removesuffix("\r") for name in text.split("\n")]
    found = [name for name in names if name]
    if not found:
        raise PermanentError("There is no identity to forget. Give one on each line.")
    return found


def _text(file: BinaryIO) -> str:
    try:
        return file.read().decode()
    except UnicodeDecodeError:
        raise PermanentError("The identities are no UTF-8 text.") from None


def _say_how_much(opened: Warehouse, asked: set[bytes]) -> None:
    from kmdb_dagster.export.forgotten import Forgotten
    from kmdb_dagster.warehouse.forget import people_of, size_of
    from kmdb_dagster.warehouse.server import transaction

    with transaction(opened.engine) as connection:
        people = people_of(connection, Forgotten(asked))
    size = size_of(opened.engine, people)
    click.echo(
        f"{len(people)} people with {size.identities:,} identities, {size.events:,} events, {size.properties:,} "
        f"property values and {size.aliases:,} aliases are in. Rejected lines and files are not counted yet."
    )


def _remove(opened: Warehouse, settings: Settings, most_identities: int | None) -> None:
    from kmdb_dagster.lake import Lake
    from kmdb_dagster.pipeline.forgetting import forget_people

    with progress_reports("looking") as report:
        done = forget_people(
            opened,
            Lake(settings.data_dir),
            numeric_apart=settings.numeric_apart,
            most_identities=most_identities,
            report=report,
        )
    click.echo("Removed: " + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in done._asdict().items()))


COMMANDS = (forget,)
