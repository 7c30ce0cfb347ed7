"""The report of the demo: the content of the database, and answers to example questions.

Numbers of people and ids only: no identity is shown.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from sqlalchemy import Engine, text

TOTALS = (
    ("revisions", "SELECT COUNT(*) FROM revisions WHERE etag IS NOT NULL AND imported_at IS NOT NULL"),
    ("lines", "SELECT COALESCE(SUM(`lines`), 0) FROM revisions"),
    ("events", "SELECT COUNT(*) FROM events"),
    ("properties", "SELECT COUNT(*) FROM properties"),
    ("people", "SELECT COUNT(DISTINCT user_id) FROM user_map"),
    ("rejected lines", "SELECT COUNT(*) FROM rejected_lines"),
)

REJECTED = "SELECT reason, COUNT(*) AS `lines` FROM rejected_lines GROUP BY reason ORDER BY 2 DESC, 1"


class Question(NamedTuple):
    """A question, in words and in SQL."""

    title: str
    sql: str


QUESTIONS = (
    Question(
        "Which events happen most?",
        """\
SELECT `keys`.string AS event, COUNT(*) AS times
FROM events JOIN `keys` ON events.n = `keys`.id
GROUP BY `keys`.id, `keys`.string
ORDER BY times DESC, event LIMIT 5""",
    ),
    Question(
        "How many people sign up, hour by hour?",
        """\
SELECT DATE_FORMAT(events.t, '%Y-%m-%d %H:00') AS hour,
       COUNT(DISTINCT events.user_id) AS people
FROM events JOIN `keys` ON events.n = `keys`.id
WHERE `keys`.string = 'signed up' AND events.t >= '2014-01-01'
GROUP BY hour ORDER BY hour LIMIT 7""",
    ),
    Question(
        "Who does most?",
        """\
SELECT user_id AS person, COUNT(*) AS events
FROM events
GROUP BY user_id
ORDER BY COUNT(*) DESC, user_id LIMIT 3""",
    ),
)


class Progress(NamedTuple):
    """The progress of the import."""

    imported: set[int]
    failed: dict[int, str]
    """Why each revision that is not in failed the last time it was tried."""


def progress(engine: Engine) -> Progress:
    """Read the progress from the ledger."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT revision, imported_at, error FROM revisions")).all()
    return Progress(
        {row.revision for row in rows if row.imported_at is not None},
        {row.revision: row.error for row in rows if row.imported_at is None and row.error is not None},
    )


def show(engine: Engine, console: Console) -> None:
    """Print the report."""
    totals = [(name, _ask(engine, sql)[1][0][0]) for name, sql in TOTALS]
    console.print(_table("In the database", ("", "count"), totals))
    console.print(_table("Lines that were refused, by reason", *_ask(engine, REJECTED)))
    for question in QUESTIONS:
        console.rule(question.title, align="left", style="dim")
        console.print(Syntax(question.sql, "sql", background_color="default"))
        console.print(_table(None, *_ask(engine, question.sql)))


def _ask(engine: Engine, sql: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    with engine.connect() as connection:
        result = connection.execute(text(sql))
        return list(result.keys()), result.all()


def _table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(*columns[:1], title=title, title_justify="left", min_width=40)
    for column in columns[1:]:
        table.add_column(column, justify="right")
    for first, *others in rows:
        table.add_row(str(first), *(f"{int(number):,}" for number in others))
    return table
