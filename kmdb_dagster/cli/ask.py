"""The command ``ask``: the answer to a question as text, CSV or a picture."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kmdb_dagster.cli.database import warehouse
from kmdb_dagster.cli.termination import exit_at_signals
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.output_escaping import for_terminal, for_terminal_line
from kmdb_dagster.private_file import can_be_written
from kmdb_dagster.questions.grammar import QUESTIONS
from kmdb_dagster.questions.parameter_types import ConditionType
from kmdb_dagster.questions.segment import Condition
from kmdb_dagster.questions.slice_folder import delete_open_folders
from kmdb_dagster.settings import load_settings

if TYPE_CHECKING:
    from kmdb_dagster.questions.answer import Answer
    from kmdb_dagster.questions.question import Question

REMINDER = "It is a copy that `kmdb forget` does not reach: delete it when you no longer need it."
PICTURE_SUFFIXES = (".png", ".svg", ".pdf")


def picture_files(_ctx: click.Context, _param: click.Parameter, values: tuple[Path, ...]) -> tuple[Path, ...]:
    """Check before the question is asked that each picture can be written."""
    for value in values:
        if value.suffix not in PICTURE_SUFFIXES:
            raise click.BadParameter(f"the name must end with {', '.join(PICTURE_SUFFIXES)}")
        people_file(_ctx, _param, value)
    return values


def people_file(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    """Check before the question is asked that the file can be written."""
    if value is not None and not can_be_written(value):
        raise click.BadParameter(f"{value} cannot be written: the folder {value.parent} must exist and be writable")
    return value


@click.group(commands=QUESTIONS)
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    callback=picture_files,
    help="Write a picture to this file: .png, .svg or .pdf; repeatable.",
)
@click.option(
    "--people",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=people_file,
    help="Write the people behind the numbers to this CSV, for its owner only.",
)
@click.option(
    "--only",
    type=ConditionType(),
    multiple=True,
    help="Write only people with this value in a column of the CSV, e.g. 'lost at=2'; repeatable.",
)
@click.option("--sql", is_flag=True, help="Show the SQL that the server ran.")
@click.option("--csv", is_flag=True, help="Print only the numbers, as CSV.")
def ask(**_: object) -> None:
    """Answer a question: funnel, retention, trend and others.

    Reads the database and changes nothing. These options come before the name of the question.

    \b
    Example:
        $ kmdb ask funnel "visited site" "signed up" --within 1h
        visited site → signed up within 1 hour
        33.3 % of 3 people reach the last step.
        ...
        $ kmdb ask --picture funnel.png funnel "visited site" "signed up" --last 30d
    """


@ask.result_callback()
def show(  # noqa: PLR0913 - the options of the command
    question: "Question",
    *,
    picture: tuple[Path, ...],
    people: Path | None,
    only: tuple[Condition, ...],
    sql: bool,
    csv: bool,
) -> None:
    """Answer the question, and print or write what the options request."""
    from kmdb_dagster.questions.people_list import PeopleList

    if only and people is None:
        raise click.UsageError("--only selects the people of --people FILE, which is missing.")
    with exit_at_signals(delete_open_folders), warehouse(load_settings()) as opened:
        answer = question.ask(opened.engine, PeopleList(people, only) if people else None)
    if sql:
        click.echo(for_terminal("\n\n".join(answer.sql)) + "\n", err=csv)
    if csv:
        click.echo(answer.csv(), nl=False)
    else:
        _print(answer)
    for file in picture:
        _write_picture(answer, file)
    if people:
        click.echo(f"Wrote {people}: {answer.listed:,} people. {REMINDER}", err=True)


def _write_picture(answer: "Answer", file: Path) -> None:
    try:
        file.write_bytes(answer.picture(file.suffix[1:]))
    except OSError as error:
        raise PermanentError(f"{file} cannot be written ({error.strerror}).") from None
    click.echo(f"Wrote {file}.", err=True)


def _print(answer: "Answer") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    header, *rows = answer.cells()
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name, kind in zip(header, answer.frame.schema.values(), strict=True):
        table.add_column(name, justify="right" if kind.is_numeric() else "left")
    for row in rows:
        table.add_row(*map(for_terminal_line, row))
    console = Console(highlight=False, markup=False)
    console.print(for_terminal_line(answer.question), style="bold")
    console.print(f"{for_terminal_line(answer.finding)}\n{answer.span}\n", soft_wrap=True)
    console.print(table)
    if len(answer.frame) > len(rows):
        console.print(f"… and {len(answer.frame) - len(rows):,} more rows: use --csv for all of them")
    for caveat in ("", *answer.caveats):
        console.print(for_terminal_line(f"* {caveat}") if caveat else "", soft_wrap=True)


COMMANDS = (ask,)
