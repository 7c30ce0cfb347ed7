"""The command ``ask``: a question, and its answer at the terminal, as a picture, as CSV."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kmdb_dagster.cli.database import warehouse
from kmdb_dagster.escaping import for_terminal, for_terminal_line
from kmdb_dagster.questions.grammar import QUESTIONS, Question
from kmdb_dagster.settings import load_settings

if TYPE_CHECKING:
    from kmdb_dagster.questions.answer import Answer

FORMS = (".png", ".svg", ".pdf")


def picture_file(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    """A file of a form that pictures have."""
    if value is not None and value.suffix not in FORMS:
        raise click.BadParameter(f"the name must end with {', '.join(FORMS)}")
    return value


@click.group(commands=QUESTIONS)
@click.option(
    "--picture", type=click.Path(dir_okay=False, path_type=Path), callback=picture_file, help="Draw it to FILE."
)
@click.option("--sql", is_flag=True, help="Show what the server was asked.")
@click.option("--csv", is_flag=True, help="Print the numbers as CSV and nothing else.")
def ask(**_: object) -> None:
    """Ask a question of the events. These options stand before it.

    \b
    Example:
        kmdb ask --picture funnel.png funnel "visited site" "signed up" --within 7d --last 30d
    """


@ask.result_callback()
def show(question: Question, *, picture: Path | None, sql: bool, csv: bool) -> None:
    """Print the answer."""
    with warehouse(load_settings()) as opened:
        answer = question.ask(opened.engine)
    if sql:
        click.echo(for_terminal("\n\n".join(answer.sql)) + "\n", err=csv)
    if csv:
        click.echo(answer.csv(), nl=False)
    else:
        _print(answer)
    if picture is not None:
        picture.write_bytes(answer.picture(picture.suffix[1:]))
        click.echo(f"Drawn to {picture}.", err=True)


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
        console.print(f"… and {len(answer.frame) - len(rows):,} more: --csv has them all")
    for caveat in ("", *answer.caveats):
        console.print(for_terminal_line(f"* {caveat}") if caveat else "", soft_wrap=True)


COMMANDS = (ask,)
