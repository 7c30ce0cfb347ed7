"""The ``kmdb`` command. Words and progress for a person at a terminal; the work is done elsewhere.

Errors are turned into text once, in `Commands.invoke`: the library raises precise types, the terminal gets one
line that says what to do.
"""

import click
from dotenv import load_dotenv

from kmdb_dagster import __version__
from kmdb_dagster.cli import ask, confirm, database, files, forget, imports, ui, views, worker
from kmdb_dagster.errors import KmdbError, SettingsError
from kmdb_dagster.escaping import for_terminal


class Commands(click.Group):
    """A group whose commands end with one line when they fail."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command. Exit code 2 for a setting that is wrong, 1 for any other failure."""
        try:
            return super().invoke(ctx)
        except KmdbError as error:
            click.echo(for_terminal(f"kmdb: {error}"), err=True)
            ctx.exit(2 if isinstance(error, SettingsError) else 1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kmdb")
def main() -> None:
    """Bring a KissMetrics data export into MySQL, by way of Dagster.

    Settings come from the environment and from .env in this folder.
    """
    # Dagster reads it too, and the processes that `kmdb ui` starts must see the same.
    try:
        load_dotenv(".env")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env cannot be read ({type(error).__name__}). It must be UTF-8 text.") from None


for command in (
    *database.COMMANDS,
    *forget.COMMANDS,
    *confirm.COMMANDS,
    *imports.COMMANDS,
    *files.COMMANDS,
    *views.COMMANDS,
    *ask.COMMANDS,
    *ui.COMMANDS,
    *worker.COMMANDS,
):
    main.add_command(command)
