"""Write files with personal data: for their owner only, and complete or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from kmdb_dagster.errors import PermanentError


@contextmanager
def private_file(path: Path) -> Iterator[TextIO]:
    """Open a text file with mode 0600 that replaces ``path`` at the end. After an error nothing is left of it.

    Raises:
        PermanentError: The file cannot be written.
    """
    try:
        # mkstemp creates a file that only this user can read.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                yield file
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise PermanentError(f"{path} cannot be written ({error.strerror}).") from None


def can_be_written(path: Path) -> bool:
    """Return whether a file can be created at this path, or replaced."""
    is_writable = os.access(path if path.exists() else path.parent, os.W_OK)
    return path.parent.is_dir() and not path.is_dir() and is_writable
