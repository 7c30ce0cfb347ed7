"""The answers on docs/how-to/query.md, computed from its queries."""

import doctest
import io
import re
from contextlib import redirect_stdout
from typing import Any

from sqlalchemy import Engine

BLOCK = re.compile(r"```(sql\n-- .*?|pycon\n.*?)```\n(?:\n```text\n.*?```\n)?", re.DOTALL)


def answered(page: str, engine: Engine) -> str:
    """The page, with the answers that its questions have now. A title makes a question of a block of SQL."""
    names: dict[str, Any] = {}
    return BLOCK.sub(lambda found: _answered(found[1], engine, names), page)


def _answered(block: str, engine: Engine, names: dict[str, Any]) -> str:
    language, _, question = block.partition("\n")
    if language == "pycon":
        return f"```pycon\n{_transcript(question, names)}```\n"
    return f"```{block}```\n\n```text\n{table(engine, question)}```\n"


def table(engine: Engine, statement: str) -> str:
    """What a query finds, as text."""
    with engine.connect() as connection:
        result = connection.exec_driver_sql(statement.replace("%", "%%"))
        rows = [tuple(result.keys()), *(tuple(map(str, row)) for row in result)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:], ""])


def _transcript(text: str, names: dict[str, Any]) -> str:
    shown = ""
    for example in doctest.DocTestParser().get_examples(text):
        lines = example.source.splitlines()
        shown += "".join(f"{'>>>' if n == 0 else '...'} {line}\n" for n, line in enumerate(lines))
        with redirect_stdout(io.StringIO()) as printed:
            exec(compile(example.source, "docs/how-to/query.md", "single"), names)  # noqa: S102 - our own document
        shown += printed.getvalue()
    return shown
