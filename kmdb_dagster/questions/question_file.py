"""The file KMDB_QUESTIONS: TOML, a name and a question in each line."""

import re
import tomllib
from pathlib import Path

from kmdb_dagster.errors import PermanentError, SettingsError
from kmdb_dagster.questions.grammar import parse


def read_questions(file: Path) -> dict[str, str]:
    """Read the questions of a file: the text of each, by name.

    Raises:
        SettingsError: the file cannot be read, or a line is not a question.
    """
    try:
        lines = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"KMDB_QUESTIONS: {file} cannot be read as TOML ({type(error).__name__}).") from None
    for name, line in lines.items():
        if not re.fullmatch(r"[A-Za-z0-9_]+", name) or not isinstance(line, str):
            raise SettingsError(
                f"KMDB_QUESTIONS: {name!r} in {file}: expected lines like signups = 'trend \"signed up\"'."
            )
        try:
            parse(line)
        except PermanentError as error:
            raise SettingsError(f"KMDB_QUESTIONS: {name} in {file}: {error}") from None
    return lines
