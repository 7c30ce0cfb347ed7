"""The formats of an answer: CSV, JSON and Parquet for programs, Markdown for a page. Text is for a terminal.

CSV escapes formulas, because spreadsheets open it. JSON and Parquet hold values exactly as they are.
"""

import io
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kmdb_dagster.output_escaping import for_markdown, for_markdown_code
from kmdb_dagster.questions.answer import MAX_SHOWN_ROWS, Answer
from kmdb_dagster.questions.catalog import read_values
from kmdb_dagster.questions.span import Span

TEXT = "text"
FORMAT_OF_SUFFIX = {".txt": TEXT, ".csv": "csv", ".json": "json", ".parquet": "parquet", ".md": "markdown"}


def format_for(file: Path | None) -> str:
    """Return the format that the name of a file implies; text if it implies none."""
    return FORMAT_OF_SUFFIX.get(file.suffix.lower() if file else "", TEXT)


def as_dict(answer: Answer, line: str) -> dict[str, Any]:
    """Return an answer as values of JSON.

    Args:
        answer: The answer.
        line: The question, as after ``kmdb ask``.
    """
    name, parameters = read_values(line)
    return {
        "asked": {"line": line, "question": name, "parameters": parameters},
        "question": answer.question,
        "finding": answer.finding,
        "number": _json_value(answer.number),
        "span": _span(answer.span),
        "columns": answer.frame.columns,
        "rows": [{key: _json_value(value) for key, value in row.items()} for row in answer.frame.iter_rows(named=True)],
        "caveats": list(answer.caveats),
        "read_from": answer.read_from,
        "sql": list(answer.sql),
    }


def write_csv(answer: Answer, _line: str) -> bytes:
    """Write all rows as CSV."""
    return answer.csv().encode()


def write_json(answer: Answer, line: str) -> bytes:
    """Write the question, the finding, all rows and the caveats as one JSON object."""
    # ASCII only, so that no control character reaches a terminal.
    return json.dumps(as_dict(answer, line), allow_nan=False).encode() + b"\n"


def write_markdown(answer: Answer, line: str) -> bytes:
    """Write the question, the finding, the first rows and the caveats as Markdown, without the picture."""
    more = len(answer.frame) - MAX_SHOWN_ROWS
    parts = [
        f"## {for_markdown(answer.question)}",
        f"{for_markdown(answer.finding)} {for_markdown(str(answer.span))}.",
        answer.table(),
        *([f"… and {more:,} more rows."] if more > 0 else []),
        "\n".join(f"* {for_markdown(caveat)}" for caveat in answer.caveats),
        answer.read_from,
        for_markdown_code(f"kmdb ask {line}", "sh"),
    ]
    return "\n\n".join(part for part in parts if part).encode() + b"\n"


def write_parquet(answer: Answer, line: str) -> bytes:
    """Write all rows as Parquet. Times are UTC; the question, the finding and the caveats are in the metadata."""
    import polars as pl

    buffer = io.BytesIO()
    times = pl.selectors.datetime(time_zone=None).dt.replace_time_zone("UTC")
    about = {"kmdb.asked": line, "kmdb.question": answer.question, "kmdb.finding": answer.finding}
    about["kmdb.read_from"] = answer.read_from
    about["kmdb.caveats"] = "\n".join(answer.caveats)
    answer.frame.with_columns(times).write_parquet(buffer, metadata=about)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[Answer, str], bytes]] = {
    "csv": write_csv,
    "json": write_json,
    "markdown": write_markdown,
    "parquet": write_parquet,
}
"""Writes an answer to a question, by the name of the format."""


def _span(span: Span) -> dict[str, str | None]:
    return {name: _json_value(getattr(span, name)) for name in ("since", "until", "known_until")}


def _json_value(value: Any) -> Any:  # noqa: ANN401 - whatever frames hold
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value
