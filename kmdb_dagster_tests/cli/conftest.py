"""Fixtures of the tests of the command."""

from pathlib import Path

import pytest

from testing.buckets import FolderOfRevisions
from testing.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal in an empty folder, without settings."""
    folder = tmp_path / "here"
    folder.mkdir()
    return Terminal(folder)


@pytest.fixture
def ready(terminal: Terminal, database: str, bucket: FolderOfRevisions) -> Terminal:
    """A terminal in a folder whose ``.env`` names a database with all tables, and a bucket."""
    settings = {"DATABASE_URL": database, "KMDB_LOCAL_BUCKET": str(bucket.folder), "KMDB_DATA_DIR": "lake"}
    (terminal.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return terminal
