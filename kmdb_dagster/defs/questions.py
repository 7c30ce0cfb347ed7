"""Questions in Dagster: an asset for each line of KMDB_QUESTIONS, and a job for a question that is typed.

How questions are written, and what they mean, is in ``questions``. Nothing of what answering needs is imported before
a question is asked.
"""

import re
import tomllib
from pathlib import Path

import dagster as dg
from pydantic import Field

from kmdb_dagster.dagster_ext.failures import plainly
from kmdb_dagster.defs.assets import EVENTS, OWNERS, PROPERTIES
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError, SettingsError
from kmdb_dagster.escaping import for_markdown_code, for_markdown_inline_code, for_terminal_line
from kmdb_dagster.questions.grammar import parse

GROUP = "questions"
EXAMPLE = "trend --last 30d"


def read_questions(file: Path) -> dict[str, str]:
    """Name and line of each question in a file.

    Raises:
        SettingsError: it cannot be read, or a line is no question.
    """
    try:
        lines = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"KMDB_QUESTIONS: {file} cannot be read as TOML ({type(error).__name__}).") from None
    for name, line in lines.items():
        if not re.fullmatch(r"[A-Za-z0-9_]+", name) or not isinstance(line, str):
            raise SettingsError(
                f"KMDB_QUESTIONS: {name!r} in {file}: expected lines like signups = 'trend \"signed up\"'."
            )
        try:
            parse(line)
        except PermanentError as error:
            raise SettingsError(f"KMDB_QUESTIONS: {name} in {file}: {error}") from None
    return lines


def question_assets(file: Path | None) -> list[dg.AssetsDefinition]:
    """An asset for each question of the file."""
    return [_asset(name, line) for name, line in read_questions(file).items()] if file else []


def _asset(name: str, line: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        key_prefix=GROUP,
        group_name=GROUP,
        description=for_markdown_inline_code(f"kmdb ask {line}"),
        deps=[EVENTS.key, PROPERTIES.key],
        kinds={"mysql", "duckdb"},
        owners=OWNERS,
    )
    def answered(kmdb: Kmdb) -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata=_answer(kmdb, line))

    return answered


def _answer(kmdb: Kmdb, line: str) -> dict[str, str | float | dg.MarkdownMetadataValue]:
    """What an answer looks like in the UI."""
    with plainly(), kmdb.warehouse() as warehouse:
        answer = parse(line).ask(warehouse.engine)
        return {
            "finding": for_terminal_line(answer.finding),
            "answer": dg.MetadataValue.md(answer.markdown()),
            "sql": dg.MetadataValue.md("\n".join(for_markdown_code(statement, "sql") for statement in answer.sql)),
            **({} if answer.number is None else {"number": answer.number}),
        }


class Typed(dg.Config):
    """A question."""

    question: str = Field(default=EXAMPLE, description="As after `kmdb ask`, e.g. `funnel A B --within 7d`.")


@dg.op
def answer_question(context: dg.OpExecutionContext, config: Typed, kmdb: Kmdb) -> None:
    """Ask it. The answer, with its picture, is the metadata of this op's output."""
    context.add_output_metadata(_answer(kmdb, config.question))


@dg.job(
    name="ask",
    config=dg.RunConfig(ops={"answer_question": Typed(question=EXAMPLE)}),
    description="Type a question into the Launchpad, as after `kmdb ask`; the answer is on the run's page, with a "
    "picture. Questions that are asked again and again belong into the file KMDB_QUESTIONS: each is an asset then.",
)
def ask_job() -> None:
    """A typed question."""
    answer_question()


answer_questions = dg.define_asset_job(
    "answer_questions",
    selection=dg.AssetSelection.groups(GROUP),
    description="Answers every question of the file KMDB_QUESTIONS.",
)

answer_every_morning = dg.ScheduleDefinition(
    name="answer_every_morning",
    job=answer_questions,
    cron_schedule="17 6 * * *",
    execution_timezone="UTC",
    description="Answers every question of the file KMDB_QUESTIONS anew.",
)
