"""The question assets: one for each question of the file KMDB_QUESTIONS.

`questions` defines how questions are written and answered. It imports its libraries when a question is answered.
"""

from pathlib import Path

import dagster as dg

from kmdb_dagster.columnar.current import place_by_settings
from kmdb_dagster.dagster_ext.asset_keys import WAREHOUSE
from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.dagster_ext.metadata import picture_links
from kmdb_dagster.defs.automation_conditions import EVERY_MORNING, FRESH, at_schedule
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError, SettingsError
from kmdb_dagster.output_escaping import (
    for_markdown,
    for_markdown_code,
    for_markdown_inline_code,
    for_terminal_line,
)
from kmdb_dagster.questions.grammar import parse
from kmdb_dagster.questions.question_file import InvalidQuestion, SavedQuestion, read_questions
from kmdb_dagster.time_zones import time_zone

PREFIX = "questions"


def question_assets(file: Path | None) -> list[dg.AssetsDefinition]:
    """Make an asset for each question of the file; none without a file.

    The asset of an entry that is not a question fails when it is materialized, and says why. So a wrong entry stops
    neither the others nor the import.
    """
    found = scheduled_questions(file) if file else []
    return [_asset(item) if isinstance(item, SavedQuestion) else _invalid_asset(item) for item in found]


def scheduled_questions(file: Path) -> list[SavedQuestion | InvalidQuestion]:
    """Read the questions of a file. A schedule that is not one makes its question invalid."""
    return [_with_valid_schedule(file, item) for item in read_questions(file)]


def _with_valid_schedule(file: Path, item: SavedQuestion | InvalidQuestion) -> SavedQuestion | InvalidQuestion:
    try:
        if isinstance(item, SavedQuestion) and item.schedule:
            at_schedule(item.schedule)
    except PermanentError as error:
        return InvalidQuestion(item.name, f"{item.name} in {file}: {error}")
    return item


def answer_metadata(kmdb: Kmdb, line: str) -> dict[str, str | float | dg.MarkdownMetadataValue]:
    """Answer a question and return the answer as Dagster metadata.

    Args:
        kmdb: opens the database.
        line: the question, as after `kmdb ask`.

    Raises:
        dagster.Failure: the line is not a question, or the database cannot answer it.
    """
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        settings = kmdb.settings()
        question = parse(line, time_zone(settings.time_zone))
        answer = question.ask(warehouse.engine, place=place_by_settings(warehouse.engine, settings))
        return {
            "finding": for_terminal_line(answer.finding),
            "answer": dg.MetadataValue.md(answer.markdown()),
            "read_from": answer.read_from,
            "sql": dg.MetadataValue.md("\n".join(for_markdown_code(statement, "sql") for statement in answer.sql)),
            **({} if answer.number is None else {"number": answer.number}),
        }


def _asset(saved: SavedQuestion) -> dg.AssetsDefinition:
    line = for_markdown_inline_code(f"kmdb ask {saved.question}")

    @dg.asset(
        name=saved.name,
        key_prefix=PREFIX,
        description="\n\n".join(filter(None, (for_markdown(saved.description), line))),
        deps=[WAREHOUSE],
        kinds={"mysql", "duckdb"},
        automation_condition=at_schedule(saved.schedule) if saved.schedule else EVERY_MORNING,
        # How old an answer with a schedule of its own may be follows from the schedule.
        freshness_policy=None if saved.schedule else FRESH,
    )
    def answered(context: dg.AssetExecutionContext, kmdb: Kmdb) -> dg.MaterializeResult[None]:
        metadata = answer_metadata(kmdb, saved.question)
        return dg.MaterializeResult(metadata={**picture_links(context, str(metadata["answer"])), **metadata})

    return answered


def _invalid_asset(invalid: InvalidQuestion) -> dg.AssetsDefinition:
    @dg.asset(
        name=invalid.name,
        key_prefix=PREFIX,
        description=f"**This entry is not a question.** {for_markdown(invalid.problem)}",
        deps=[WAREHOUSE],
        automation_condition=EVERY_MORNING,
    )
    def refused() -> None:
        with as_dagster_failure():
            raise SettingsError(f"Correct the entry, then reload the definitions. {invalid.problem}")

    return refused
