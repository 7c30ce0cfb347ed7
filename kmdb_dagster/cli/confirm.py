"""The commands ``confirm bucket`` and ``confirm data-dir``: bind the database to what an import refused."""

import click

from kmdb_dagster.cli.database import warehouse
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.output_escaping import for_terminal_line
from kmdb_dagster.settings import load_settings
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger


@click.group()
def confirm() -> None:
    """Accept another bucket or data folder for the database.

    Imports refuse them until then.

    \b
    Example:
        kmdb confirm bucket
        kmdb confirm data-dir
    """


@confirm.command()
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def bucket(*, yes: bool) -> None:
    """Accept the bucket in the settings from now on.

    It replaces the bucket that the database was bound to.

    Revisions of the bucket replace those of the same number.

    \b
    Example:
        kmdb confirm bucket
    """
    # Here, because the import of Dagster takes a second.
    from kmdb_dagster.defs.resources import Kmdb
    from kmdb_dagster.warehouse.connection.bindings import bucket_of, confirm_bucket
    from kmdb_dagster.warehouse.connection.server import transaction

    location = Kmdb().bucket().location
    with warehouse(load_settings()) as opened:
        with transaction(opened.engine) as connection:
            before = bucket_of(connection)
        if not yes:
            click.confirm(for_terminal_line(_question(opened, before, location)), abort=True)
        confirm_bucket(opened.engine, location)
        click.echo(for_terminal_line(f"{opened.name} belongs to the bucket {location}."))


def _question(opened: Warehouse, before: str | None, location: str) -> str:
    revisions = ledger.totals(opened.engine).revisions
    return (
        f"{opened.name} has {revisions:,} revisions from the bucket {before or '(none)'}. Revisions of {location} "
        "replace those with the same number. Bind the database to it?"
    )


@confirm.command("data-dir")
@click.option("--removed", metavar="ID", help="Remove a data folder that no longer exists instead.")
def data_dir(removed: str | None) -> None:
    """Accept the folder in KMDB_DATA_DIR as a further data folder.

    Prints all data folders of the database.

    An erasure is complete when each of them was searched. Several machines with a folder of their own each confirm it.

    \b
    Example:
        kmdb confirm data-dir
    """
    from kmdb_dagster.lake import Lake
    from kmdb_dagster.warehouse.connection.data_folders import confirm_folder, remove_folder

    settings = load_settings()
    with warehouse(settings) as opened:
        folders = (
            remove_folder(opened.engine, _id(removed))
            if removed
            else confirm_folder(opened.engine, Lake(settings.data_folder))
        )
        click.echo(for_terminal_line(f"{opened.name} has its files in {len(folders)} data folders:"))
        for folder in folders:
            click.echo(for_terminal_line(f"  {folder.id.hex()}  {folder}  last used {folder.used_at} UTC"))


def _id(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise PermanentError(
            f"{text!r} is not the id of a data folder. Expected: 32 hexadecimal digits, as `kmdb forget --finish` "
            "prints them."
        ) from None


COMMANDS = (confirm,)
