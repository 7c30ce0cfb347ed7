"""The jobs that answer questions: one that you type (`ask`), and all saved ones."""

import dagster as dg
from pydantic import Field

from kmdb_dagster.defs.assets.questions import PREFIX, answer_metadata
from kmdb_dagster.defs.resources import Kmdb

EXAMPLE = "trend --last 30d"


class QuestionConfig(dg.Config):
    """A typed question."""

    question: str = Field(default=EXAMPLE, description="As after `kmdb ask`, e.g. `funnel A B --within 7d`.")


@dg.op
def answer_question(context: dg.OpExecutionContext, config: QuestionConfig, kmdb: Kmdb) -> None:
    """Answer the question. The answer, with its picture, is the metadata of this op's output."""
    context.add_output_metadata(answer_metadata(kmdb, config.question))


@dg.job(
    name="ask",
    config=dg.RunConfig(ops={"answer_question": QuestionConfig(question=EXAMPLE)}),
    description="Answers a question that you type into the Launchpad, as after `kmdb ask`. The answer and its picture "
    "are on the run's page. Save a question that you repeat with `kmdb ask --save`: it becomes an asset.",
)
def ask_job() -> None:
    """Answer a typed question."""
    answer_question()


answer_questions = dg.define_asset_job(
    "answer_questions",
    selection=dg.AssetSelection.key_prefixes(PREFIX),
    description="Answers every saved question.",
)
