"""The file of saved questions, KMDB_QUESTIONS: TOML, in which each question has a name.

    signups = 'trend "signed up" --last 30d'

    [returns]
    question = 'retention "signed up" --every 7d --last 90d'
    description = "How many come back?"
    schedule = "17 6 * * 1"

Each entry is read apart from the others, so a wrong one is an `InvalidQuestion` among valid ones.
"""

import fcntl
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from kmdb_dagster.errors import PermanentError, RequestError
from kmdb_dagster.questions.grammar import QUESTIONS, parse

NAME = re.compile(r"[A-Za-z0-9_]+")
UNREADABLE = "unreadable_file"
"""The name of the `InvalidQuestion` that takes the place of all questions of a file that cannot be read."""


def _require_question(line: str) -> str:
    try:
        parse(line)
    except PermanentError as error:
        # The first line only repeats the question.
        raise ValueError(str(error).split("\n", 1)[-1]) from None
    return line


class SavedQuestion(BaseModel):
    """A question with a name. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    question: Annotated[str, AfterValidator(_require_question)]
    """As after ``kmdb ask``."""
    description: str = ""
    schedule: str | None = Field(default=None, min_length=1)
    """When Dagster answers it: cron, UTC. None: every morning."""


@dataclass(frozen=True)
class InvalidQuestion:
    """An entry that is not a question, and why."""

    name: str
    """Only letters, digits and underscores; another name than in the file if that has others."""
    problem: str
    """Names the file, the entry, and the key with its value."""


def read_questions(file: Path) -> list[SavedQuestion | InvalidQuestion]:
    """Read the questions of a file, in its order. A file that does not exist has none."""
    try:
        entries = tomllib.loads(file.read_text("utf-8")) if file.exists() or not file.parent.is_dir() else {}
    except (OSError, ValueError) as error:
        return [InvalidQuestion(UNREADABLE, f"{file} cannot be read as TOML: {_reason(error)}.")]
    return _with_unique_names([_read(file, name, entry) for name, entry in entries.items()])


def find_question(file: Path, name: str) -> SavedQuestion | None:
    """Return a question by its name; None if the file has no such name.

    Raises:
        PermanentError: The entry is not a question, or the file cannot be read.
    """
    found = {item.name: item for item in read_questions(file)}
    item = found.get(name, found.get(UNREADABLE))
    if isinstance(item, InvalidQuestion):
        raise PermanentError(item.problem)
    return item


def require_new(file: Path, question: SavedQuestion) -> None:
    """Refuse a question that cannot be added to the file.

    Raises:
        RequestError: The name is taken or not possible, or the question names a file by a relative path.
        PermanentError: The file cannot be read.
    """
    if not NAME.fullmatch(question.name) or question.name in {command.name for command in QUESTIONS}:
        raise RequestError(
            f"{question.name!r} cannot be the name of a saved question. Use letters, digits and underscores, and not "
            "the name of a kind of question."
        )
    if find_question(file, question.name):
        raise RequestError(
            f"A question is saved as {question.name!r} already. To replace it, run `kmdb ask --remove {question.name}`."
        )
    relative = [path for path in parse(question.question).who.in_cohort if not path.is_absolute()]
    if relative:
        raise RequestError(
            f"--in-cohort {relative[0]} is a relative path, and Dagster runs in another folder. "
            f"Use {Path.cwd() / relative[0]}."
        )


def add_question(file: Path, question: SavedQuestion) -> None:
    """Add a question at the end of the file, which is created if it does not exist.

    Raises:
        RequestError: See `require_new`.
        PermanentError: The file cannot be read or written.
    """
    import tomlkit

    entry = tomlkit.table()
    for key, value in question.model_dump(exclude={"name"}, exclude_defaults=True).items():
        entry.add(key, tomlkit.string(value, literal="'" not in value and value.isprintable()))

    def add(text: str) -> str:
        require_new(file, question)
        document = tomlkit.parse(text)
        if text.strip():
            document.add(tomlkit.nl())
        document.add(question.name, entry)
        return tomlkit.dumps(document)

    _edit(file, add)


def remove_question(file: Path, name: str) -> None:
    """Remove a question from the file. Comments and the other questions stay as they are.

    Raises:
        RequestError: The file has no such name.
        PermanentError: The file cannot be read or written.
    """
    import tomlkit

    def remove(text: str) -> str:
        document = tomlkit.parse(text)
        if name not in document:
            raise RequestError(f"No question is saved as {name!r} in {file}. Run `kmdb ask --saved` to list them.")
        document.remove(name)
        return tomlkit.dumps(document)

    _edit(file, remove)


def _read(file: Path, name: str, entry: Any) -> SavedQuestion | InvalidQuestion:  # noqa: ANN401 - whatever TOML holds
    if not NAME.fullmatch(name):
        problem = f"{name!r} is not a name. Use letters, digits and underscores"
        return InvalidQuestion(re.sub(r"[^A-Za-z0-9_]", "_", name) or "_", f"{problem} in {file}.")
    values = entry if isinstance(entry, dict) else {"question": entry}
    if "name" in values:
        return InvalidQuestion(name, f"{name} in {file}: {_unexpected('name', values)}")
    try:
        return SavedQuestion.model_validate({**values, "name": name})
    except ValidationError as error:
        return InvalidQuestion(name, f"{name} in {file}: {_describe(error, values)}")


def _with_unique_names(items: list[SavedQuestion | InvalidQuestion]) -> list[SavedQuestion | InvalidQuestion]:
    """Add underscores to the names of invalid entries that others have."""
    taken = {item.name for item in items if isinstance(item, SavedQuestion)}
    unique: list[SavedQuestion | InvalidQuestion] = []
    for item in items:
        if isinstance(item, InvalidQuestion):
            name = item.name
            while name in taken:
                name += "_"
            taken.add(name)
            unique.append(InvalidQuestion(name, item.problem))
        else:
            unique.append(item)
    return unique


def _describe(error: ValidationError, values: dict[str, Any]) -> str:
    """Describe the first problem with its key and value."""
    first = error.errors(include_url=False)[0]
    key = str(first["loc"][0])
    if first["type"] == "missing":
        return f"the key '{key}' is missing."
    if first["type"] == "extra_forbidden":
        return _unexpected(key, values)
    return f"{key} = {values[key]!r}: {first['msg'].removeprefix('Value error, ')}"


def _unexpected(key: str, values: dict[str, Any]) -> str:
    return f"{key} = {values[key]!r} is not expected here. A question has question, description and schedule."


def _reason(error: Exception) -> str:
    return str(error.strerror) if isinstance(error, OSError) else str(error)


def _edit(file: Path, change: Callable[[str], str]) -> None:
    """Replace the text of a file, one process at a time. Its mode stays; after an error so does its text."""
    try:
        with _locked(file.parent):
            text = change(file.read_text("utf-8") if file.exists() else "")
            target = file.resolve()
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as temporary:
                    temporary.write(text)
                _copy_mode(target, Path(name))
                Path(name).replace(target)
            finally:
                Path(name).unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise PermanentError(f"{file} cannot be changed: {_reason(error)}.") from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _copy_mode(target: Path, temporary: Path) -> None:
    if target.exists():
        shutil.copymode(target, temporary)
        return
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)
