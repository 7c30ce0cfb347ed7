"""The question assets: one for each line of the file KMDB_QUESTIONS.

`questions` defines how questions are written and answered. It imports its libraries when a question is answered.
"""

from pathlib import Path

import dagster as dg

from kmdb_dagster.dagster_ext.asset_keys import WAREHOUSE
from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.dagster_ext.metadata import picture_links
from kmdb_dagster.defs.automation_conditions import EVERY_MORNING, FRESH
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.output_escaping import for_markdown_code, for_markdown_inline_code, for_terminal_line
from kmdb_dagster.questions.grammar import parse
from kmdb_dagster.questions.question_file import read_questions

PREFIX = "questions"


def question_assets(file: Path | None) -> list[dg.AssetsDefinition]:
    """Make an asset for each question of the file; none without a file.

    Raises:
        SettingsError: the file cannot be read, or a line is not a question.
    """
    return [_asset(name, line) for name, line in read_questions(file).items()] if file else []


def answer_metadata(kmdb: Kmdb, line: str) -> dict[str, str | float | dg.MarkdownMetadataValue]:
    """Answer a question and return the answer as Dagster metadata.

    Args:
        kmdb: opens the database.
        line: the question, as after `kmdb ask`.

    Raises:
        dagster.Failure: the line is not a question, or the database cannot answer it.
    """
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        answer = parse(line).ask(warehouse.engine)
        return {
            "finding": for_terminal_line(answer.finding),
            "answer": dg.MetadataValue.md(answer.markdown()),
            "sql": dg.MetadataValue.md("\n".join(for_markdown_code(statement, "sql") for statement in answer.sql)),
            **({} if answer.number is None else {"number": answer.number}),
        }


def _asset(name: str, line: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        key_prefix=PREFIX,
        description=for_markdown_inline_code(f"kmdb ask {line}"),
        deps=[WAREHOUSE],
        kinds={"mysql", "duckdb"},
        automation_condition=EVERY_MORNING,
        freshness_policy=FRESH,
    )
    def answered(context: dg.AssetExecutionContext, kmdb: Kmdb) -> dg.MaterializeResult[None]:
        metadata = answer_metadata(kmdb, line)
        return dg.MaterializeResult(metadata={**picture_links(context, str(metadata["answer"])), **metadata})

    return answered
