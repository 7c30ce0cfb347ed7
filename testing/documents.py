"""The documents, for tests that compare them with the code."""

import re
from pathlib import Path

import kmdb_dagster

ROOT = Path(kmdb_dagster.__file__).parent.parent


def read(name: str) -> str:
    """Return a document's text, by its path in the checkout."""
    return (ROOT / name).read_text()


def section(page: str, heading: str) -> str:
    """Return the text below a heading, up to the next heading of the same level."""
    return re.split(r"^## ", read(page).split(f"## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
