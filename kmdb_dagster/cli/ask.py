"""The command ``ask``: the answer to a question as text, in a format for programs, or as a picture."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kmdb_dagster.cli.database import warehouse
from kmdb_dagster.cli.saved_questions import LINE, AskGroup, list_saved, new_question, remove_saved, save
from kmdb_dagster.cli.termination import exit_at_signals
from kmdb_dagster.columnar.current import ReadFrom, place_by_settings
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.output_escaping import for_terminal, for_terminal_line
from kmdb_dagster.private_file import can_be_written
from kmdb_dagster.questions.answer_formats import TEXT, WRITERS, format_for
from kmdb_dagster.questions.grammar import QUESTIONS
from kmdb_dagster.questions.parameter_types import ConditionType
from kmdb_dagster.questions.segment import Condition
from kmdb_dagster.questions.slice_folder import delete_open_folders
from kmdb_dagster.settings import load_settings
from kmdb_dagster.time_zones import time_zone

if TYPE_CHECKING:
    from kmdb_dagster.questions.answer import Answer
    from kmdb_dagster.questions.question import Question

REMINDER = "It is a copy that `kmdb forget` does not reach: delete it when you no longer need it."
FORMATS = (TEXT, *WRITERS)
FILE_WIDTH = 120
"""Columns of an answer that is written to a file as text."""
WITHOUT_PLACE = (TEXT, "csv")
"""Formats that do not say where the facts were read: the command says it."""
PICTURE_SUFFIXES = (".png", ".svg", ".pdf")


def picture_files(_ctx: click.Context, _param: click.Parameter, values: tuple[Path, ...]) -> tuple[Path, ...]:
    """Check before the question is asked that each picture can be written."""
    for value in values:
        if value.suffix not in PICTURE_SUFFIXES:
            raise click.BadParameter(f"the name must end with {', '.join(PICTURE_SUFFIXES)}")
        writable_file(_ctx, _param, value)
    return values


def writable_file(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    """Check before the question is asked that the file can be written."""
    if value is not None and not can_be_written(value):
        raise click.BadParameter(f"{value} cannot be written: the folder {value.parent} must exist and be writable")
    return value


@click.group(cls=AskGroup, commands=QUESTIONS)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    help="How the answer is written. [default: by the name of --output, else text]",
)
@click.option("--csv", "file_format", flag_value="csv", help="The same as --format csv.")
@click.option("--json", "file_format", flag_value="json", help="The same as --format json.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=writable_file,
    help="Write the answer to this file: .txt, .csv, .json, .parquet or .md.",
)
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
    callback=writable_file,
    help="Write the people behind the numbers to this CSV, for its owner only.",
)
@click.option(
    "--only",
    type=ConditionType(),
    multiple=True,
    help="Write only people with this value in a column of the CSV, e.g. 'lost at=2'; repeatable.",
)
@click.option("--sql", is_flag=True, help="Show the SQL that read the facts.")
@click.option(
    "--from",
    "wanted",
    type=click.Choice(ReadFrom, case_sensitive=False),
    default=ReadFrom.AUTO,
    show_default="auto",
    help="Where facts are read. auto: the columnar copy if it is current or takes seconds to refresh, else the tables.",
)
@click.option("--save", "save_as", metavar="NAME", help="Save the question in KMDB_QUESTIONS, once it is answered.")
@click.option("--description", default="", help="What --save says about the question.")
@click.option("--schedule", metavar="CRON", help="When Dagster answers what --save saves. [default: every morning]")
@click.option("--saved", is_flag=True, is_eager=True, callback=list_saved, expose_value=False, help="List all saved.")
@click.option(
    "--remove", metavar="NAME", is_eager=True, callback=remove_saved, expose_value=False, help="Remove a saved one."
)
@click.pass_context
def ask(ctx: click.Context, /, **_: object) -> None:
    """Answer a question: funnel, retention, trend and others.

    Changes no fact. These options come before the name of the question, which may be that of a
    saved one. What follows a saved name replaces its options; options that are repeatable are added.

    \b
    Example:
        $ kmdb ask funnel "visited site" "signed up" --within 1h
        visited site → signed up within 1 hour
        33.3 % of 3 people reach the last step.
        ...
        $ kmdb ask --picture funnel.png --output funnel.json funnel "visited site" "signed up" --last 30d
        $ kmdb ask --save signups --schedule "17 6 * * 1" trend "signed up" --last 90d
        $ kmdb ask signups --last 7d
    """
    ctx.obj = time_zone(load_settings().time_zone)


@ask.result_callback()
@click.pass_context
def show(  # noqa: PLR0913 - the options of the command
    ctx: click.Context,
    question: "Question",
    *,
    file_format: str | None,
    output: Path | None,
    picture: tuple[Path, ...],
    people: Path | None,
    only: tuple[Condition, ...],
    sql: bool,
    save_as: str | None,
    description: str,
    schedule: str | None,
    wanted: ReadFrom,
) -> None:
    """Answer the question, and print or write what the options request."""
    from kmdb_dagster.questions.people_list import PeopleList

    if only and people is None:
        raise click.UsageError("--only selects the people of --people FILE, which is missing.")
    if save_as is None and (description or schedule):
        raise click.UsageError("--description and --schedule belong to --save NAME, which is missing.")
    line = str(ctx.meta[LINE])
    kind = file_format or format_for(output)
    refuse_binary(kind, output)
    new = new_question(save_as, line, description, schedule) if save_as else None
    settings = load_settings()
    with exit_at_signals(delete_open_folders), warehouse(settings) as opened:
        place = place_by_settings(opened.engine, settings, wanted)
        answer = question.ask(opened.engine, PeopleList(people, only) if people else None, place)
    if sql:
        click.echo(for_terminal("\n\n".join(answer.sql)) + "\n", err=kind != TEXT or output is not None)
    write_answer(answer, line, kind, output)
    for file in picture:
        write_file(file, answer.picture(file.suffix[1:]))
    if kind in WITHOUT_PLACE:
        click.echo(answer.read_from, err=True)
    if people:
        click.echo(f"Wrote {people}: {answer.listed:,} people. {REMINDER}", err=True)
    if new:
        save(new)


def refuse_binary(kind: str, output: Path | None) -> None:
    """Refuse to write Parquet to a terminal."""
    if kind == "parquet" and output is None and is_terminal():
        raise click.UsageError("Parquet is not text: use --output FILE.parquet.")


def is_terminal() -> bool:
    """Return whether the standard output is a terminal."""
    return sys.stdout.isatty()


def write_answer(answer: "Answer", line: str, kind: str, output: Path | None) -> None:
    """Write an answer in a format to a file, or to the standard output.

    Args:
        answer: The answer.
        line: The question as it was typed, for formats that carry it.
        kind: One of `FORMATS`.
        output: The file; None for the standard output.
    """
    data = _text(answer, width=None if output is None else FILE_WIDTH) if kind == TEXT else WRITERS[kind](answer, line)
    if output is None:
        click.echo(data, nl=False)
    else:
        write_file(output, data.encode() if isinstance(data, str) else data)


def write_file(file: Path, data: bytes) -> None:
    """Write a file, and say so."""
    try:
        file.write_bytes(data)
    except OSError as error:
        raise PermanentError(f"{file} cannot be written ({error.strerror}).") from None
    click.echo(f"Wrote {file}.", err=True)


def _text(answer: "Answer", width: int | None) -> str:
    """Write an answer as text: for the terminal if no width is given."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    header, *rows = answer.cells()
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name, kind in zip(header, answer.frame.schema.values(), strict=True):
        table.add_column(name, justify="right" if kind.is_numeric() else "left")
    for row in rows:
        table.add_row(*map(for_terminal_line, row))
    console = Console(highlight=False, markup=False, width=width, color_system="auto" if width is None else None)
    with console.capture() as captured:
        console.print(for_terminal_line(answer.question), style="bold")
        console.print(f"{for_terminal_line(answer.finding)}\n{answer.span}\n", soft_wrap=True)
        console.print(table)
        if len(answer.frame) > len(rows):
            console.print(f"… and {len(answer.frame) - len(rows):,} more rows: --csv has all of them")
        for caveat in ("", *answer.caveats):
            console.print(for_terminal_line(f"* {caveat}") if caveat else "", soft_wrap=True)
    return captured.get()


COMMANDS = (ask,)
