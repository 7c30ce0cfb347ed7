"""The ``kmdb`` command: text and progress at a terminal. The work is done in the rooms below.

`Commands.invoke` is the one place that turns errors into text: the library raises precise types, and the terminal shows
one line that says what to do.
"""

import click
from dotenv import load_dotenv

from kmdb_dagster import __version__
from kmdb_dagster.cli import (
    ask,
    columnar,
    confirm,
    database,
    files,
    filters,
    forget,
    imports,
    person,
    ui,
    views,
    worker,
)
from kmdb_dagster.errors import KmdbError, SettingsError
from kmdb_dagster.output_escaping import for_terminal

SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Start": (files.sample, ui.ui, files.inspect),
    "Import": (database.migrate, *imports.COMMANDS, *filters.COMMANDS),
    "Analyze": (*ask.COMMANDS, *person.COMMANDS, *views.COMMANDS, *columnar.COMMANDS),
    "Maintain the database": (database.partition, database.index, database.realias, database.flush),
    "Protect data": (*forget.COMMANDS, *confirm.COMMANDS),
    "Deploy": (ui.webserver, *worker.COMMANDS),
}
"""The commands by task, in the order of `kmdb --help`."""


class Commands(click.Group):
    """The group of all commands: help by task, and one line of text for an error."""

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the commands of `kmdb --help`, a section for each task."""
        width = max(len(name) for name in self.commands)
        limit = formatter.width - 6 - width
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                rows = [(str(command.name).ljust(width), command.get_short_help_str(limit)) for command in commands]
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command. Exit with code 2 for a wrong setting, and with 1 for any other failure."""
        try:
            return super().invoke(ctx)
        except KmdbError as error:
            click.echo(for_terminal(f"kmdb: {error}"), err=True)
            ctx.exit(2 if isinstance(error, SettingsError) else 1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kmdb")
def main() -> None:
    """Import a KissMetrics data export from S3 into MySQL or MariaDB, with Dagster.

    Settings come from environment variables and from the file .env in the current folder.
    """
    # Dagster reads .env too. The processes that `kmdb ui` starts must see the same settings.
    try:
        load_dotenv(".env")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env cannot be read ({type(error).__name__}). It must be UTF-8 text.") from None


for section in SECTIONS.values():
    for command in section:
        main.add_command(command)
