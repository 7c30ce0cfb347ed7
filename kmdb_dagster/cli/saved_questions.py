"""Saved questions at the terminal: the names among the questions of ``ask``, and how one is saved, listed, removed."""

import shlex
from pathlib import Path

import click

from kmdb_dagster.output_escaping import for_terminal_line
from kmdb_dagster.questions.question_file import (
    InvalidQuestion,
    SavedQuestion,
    add_question,
    find_question,
    remove_question,
    require_new,
)
from kmdb_dagster.settings import load_settings, missing_setting

LINE = "kmdb_dagster.cli.saved_questions.line"
RELOAD = "Dagster shows it after Deployment → Reload."


class AskGroup(click.Group):
    """A group of questions, to which the saved ones belong too."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Replace the name of a saved question by the question, and remember the line."""
        file = load_settings().questions
        saved = None if args[0] in self.commands or file is None else find_question(file, args[0])
        words = [*shlex.split(saved.question), *args[1:]] if saved else args
        ctx.meta[LINE] = shlex.join(words)
        return super().resolve_command(ctx, words)

    def invoke(self, ctx: click.Context) -> object:
        """Run the question. An option of this group after the name of the question gets a hint."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if any(error.option_name in param.opts for param in self.params):
                raise click.UsageError(
                    f"{error.option_name} comes before the name of the question: kmdb ask {error.option_name} … "
                    f"{ctx.invoked_subcommand} …",
                    error.ctx,
                ) from None
            raise


def list_saved(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    """Print the saved questions, and exit: with 1 if one is invalid."""
    if not value or ctx.resilient_parsing:
        return
    from kmdb_dagster.defs.assets.questions import scheduled_questions

    file = questions_file()
    found = scheduled_questions(file)
    for item in found:
        click.echo("\n".join(for_terminal_line(line) for line in _describe(item)))
    if not found:
        click.echo(f"No question is saved in {file}. Run `kmdb ask --save NAME …`.")
    ctx.exit(1 if any(isinstance(item, InvalidQuestion) for item in found) else 0)


def remove_saved(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    """Remove a saved question, and exit."""
    if value is None or ctx.resilient_parsing:
        return
    remove_question(questions_file(), value)
    click.echo(f"Removed {for_terminal_line(value)}. {RELOAD.replace('shows it', 'forgets it')}")
    ctx.exit()


def new_question(name: str, line: str, description: str, schedule: str | None) -> SavedQuestion:
    """Return the question to save, and check before it is asked that it can be.

    Args:
        name: Its name, unique in the file.
        line: The question as `kmdb ask` takes it.
        description: One sentence; may be empty.
        schedule: A cron expression; None for one that Dagster does not answer by itself.

    Raises:
        RequestError: The name or the schedule is not possible.
    """
    if schedule is not None:
        from kmdb_dagster.defs.automation_conditions import at_schedule

        at_schedule(schedule)
    question = SavedQuestion(name=name, question=line, description=description, schedule=schedule)
    require_new(questions_file(), question)
    return question


def save(question: SavedQuestion) -> None:
    """Write the question to the file, and say so."""
    file = questions_file()
    add_question(file, question)
    click.echo(f"Saved {question.name} in {file}. Run `kmdb ask {question.name}`. {RELOAD}", err=True)


def questions_file() -> Path:
    """Return the file of saved questions.

    Raises:
        MissingSettingError: KMDB_QUESTIONS is not set.
    """
    file = load_settings().questions
    if file is None:
        raise missing_setting("KMDB_QUESTIONS")
    return file


def _describe(item: SavedQuestion | InvalidQuestion) -> list[str]:
    if isinstance(item, InvalidQuestion):
        return [f"{item.name}: NOT A QUESTION. {item.problem}"]
    when = f"at {item.schedule} UTC" if item.schedule else "every morning"
    about = f": {item.description}" if item.description else ""
    return [f"{item.name}{about}", f"  {when}: kmdb ask {item.question}"]
