"""The messages that the documents quote in italics are messages of the code."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from testing.documents import ROOT

PAGES = sorted(
    path for folder in ("how-to", "explanation", "reference") for path in (ROOT / "docs" / folder).glob("*.md")
)
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
QUOTATION = re.compile(r"(?<![*\w])\*(?=\S)([^*|]+)(?<=\S)\*(?![*\w])")
PHRASE = re.compile(r"(?<![\w/])(?=([A-Za-z]+ [A-Za-z]+ [A-Za-z]+)\b)")
"""Three words of a message. Values, which a document invents, stand between numbers, quotes and punctuation."""
OF_OTHERS = ("terminated by signal", "No space left on device", "Upstream data missing")
"""Messages of Dagster and of the operating system."""


@cache
def texts_of_the_code() -> str:
    """Return all string literals of the code; a value in an f-string is a line break."""
    return "\n".join(
        text(node)
        for path in (ROOT / "kmdb_dagster").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant | ast.JoinedStr)
    )


def text(node: ast.expr) -> str:
    """Return the text of a literal."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(text, node.values))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "\n"


def unknown_phrases(page: str) -> list[str]:
    """Return the phrases of quoted messages that the code does not have."""
    quotations = [quotation.replace("\n", " ") for quotation in QUOTATION.findall(CODE_BLOCK.sub("", page))]
    return [
        phrase
        for quotation in quotations
        if not any(other in quotation for other in OF_OTHERS)
        for phrase in PHRASE.findall(quotation)
        if phrase not in texts_of_the_code()
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_quote_only_messages_that_the_code_has(page: Path) -> None:
    assert unknown_phrases(page.read_text()) == []


def test_docs_quotation_of_another_wording_is_found() -> None:
    assert unknown_phrases("*Erase them? This can never be undone.*") == [
        "This can never",
        "can never be",
        "never be undone",
    ]
    assert unknown_phrases("*Erase them? This cannot be undone.*") == []
