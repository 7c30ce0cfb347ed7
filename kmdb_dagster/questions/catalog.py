"""The catalog of questions: every kind with its parameters, read from the commands of the grammar, for forms and tools.

    values = read_values('funnel "visited site" "signed up" --within 1h').values
    write_question("funnel", values | {"within": "2h"})

Values are text, as a user writes them: durations stay ``7d``, and a span that is relative stays so.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, TypeAlias

import click

from kmdb_dagster.errors import RequestError
from kmdb_dagster.questions.grammar import QUESTIONS, parse
from kmdb_dagster.questions.segment import Segment
from kmdb_dagster.questions.span import When

Subject: TypeAlias = Literal["question", "time", "people"]
Value: TypeAlias = str | bool | list[str] | list[list[str]]
"""The value of a parameter: a flag is true, a repeatable one is a list, and one of several parts is a list of them."""
Values: TypeAlias = dict[str, Value]

_COMMANDS = {str(command.name): command for command in QUESTIONS}
_SUBJECTS: dict[str, Subject] = {
    **{field.name: "time" for field in fields(When)},
    **{field.name: "people" for field in fields(Segment)},
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a question."""

    name: str
    """In `Values`."""
    option: str | None
    """On the command line, as in ``--within``; None: it has a place and no name."""
    kinds: tuple[str, ...]
    """What is written, in its parts: ``event``, ``property``, ``duration``, ``period``, ``time zone``, ``date``,
    ``condition``, ``choice``, ``integer range``, ``boolean``, ``file`` or ``text``."""
    help: str
    subject: Subject
    """``time`` and ``people`` are the same for all questions."""
    default: str | None
    is_required: bool
    is_repeatable: bool
    choices: tuple[str, ...] = ()
    """The values that are allowed; empty: any."""
    bounds: tuple[float, float] | None = None
    """The lowest and the highest value of an ``integer range``."""


@dataclass(frozen=True)
class QuestionKind:
    """A kind of question."""

    name: str
    summary: str
    """One sentence."""
    description: str
    """More sentences; may be empty."""
    examples: tuple[str, ...]
    """Questions that can be parsed."""
    parameters: tuple[Parameter, ...]
    """In the order of the help."""


class Written(NamedTuple):
    """A question as its kind and the values of its parameters, without those that are not given."""

    name: str
    values: Values


def catalog() -> tuple[QuestionKind, ...]:
    """Return all kinds of questions."""
    return tuple(map(_kind_of, QUESTIONS))


def read_values(line: str) -> Written:
    """Split a question into its kind and the values of its parameters.

    Raises:
        RequestError: The line is not a question; the message says why.
    """
    parse(line)
    name, *arguments = shlex.split(line)
    command = _COMMANDS[name]
    # The parser of click returns the values as they are written; only parse() converts them.
    found, _, _ = command.make_parser(click.Context(command)).parse_args(arguments)
    given = {str(param.name): found.get(str(param.name)) for param in command.params}
    return Written(name, {key: _as_value(value) for key, value in given.items() if _is_given(value)})


def write_question(name: str, values: Mapping[str, Value]) -> str:
    """Write a question as one line, from the values of its parameters. It is the inverse of `read_values`.

    Raises:
        RequestError: The question does not exist, or has no such parameter, or a value is wrong.
    """
    if name not in _COMMANDS:
        raise RequestError(f"No question is called {name!r}. There are: {', '.join(_COMMANDS)}.")
    params = _COMMANDS[name].params
    if unknown := sorted(values.keys() - {str(param.name) for param in params}):
        raise RequestError(f"The question {name!r} has no parameter {unknown[0]!r}.")
    options = [word for param in params if isinstance(param, click.Option) for word in _words(param, values)]
    places = [word for param in params if isinstance(param, click.Argument) for word in _words(param, values)]
    # Options first, and "--", if the name of an event looks like an option.
    is_ambiguous = any(word.startswith("-") for word in places)
    line = shlex.join([name, *options, "--", *places] if is_ambiguous else [name, *places, *options])
    parse(line)
    return line


def _kind_of(command: click.Command) -> QuestionKind:
    text, _, examples = (command.help or "").partition("\b\n")
    summary, _, description = " ".join(text.split()).partition(". ")
    return QuestionKind(
        name=str(command.name),
        summary=f"{summary.removesuffix('.')}.",
        description=description,
        examples=tuple(re.findall(r"\$ kmdb ask (.*)", examples)),
        parameters=tuple(map(_parameter_of, command.params)),
    )


def _parameter_of(param: click.Parameter) -> Parameter:
    kind, name = param.type, str(param.name)
    return Parameter(
        name=name,
        option=max(param.opts, key=len) if isinstance(param, click.Option) else None,
        kinds=tuple(part.name for part in kind.types) if isinstance(kind, click.Tuple) else (kind.name,),
        help=param.help or "",
        subject=_SUBJECTS.get(name, "question"),
        default=str(param.default) if isinstance(param.default, str | int) and param.default is not False else None,
        is_required=param.required,
        is_repeatable=param.multiple or param.nargs == -1,
        choices=tuple(map(str, kind.choices)) if isinstance(kind, click.Choice) else (),
        bounds=(kind.min or 0, kind.max or 0) if isinstance(kind, click.IntRange) else None,
    )


def _is_given(value: Any) -> bool:  # noqa: ANN401 - click's parser has no types for values
    return isinstance(value, str) or value is True or (isinstance(value, list | tuple) and bool(value))


def _as_value(value: Any) -> Value:  # noqa: ANN401 - as above
    if isinstance(value, list | tuple):
        return [list(part) if isinstance(part, tuple) else part for part in value]
    return value if value is True else str(value)


def _words(param: click.Parameter, values: Mapping[str, Value]) -> Iterator[str]:
    """Yield a parameter's words on the command line."""
    value = values.get(str(param.name), False)
    for part in value if isinstance(value, list) else [value]:
        if part is False:
            continue
        if isinstance(param, click.Option):
            yield max(param.opts, key=len)
        if part is not True:
            yield from part if isinstance(part, list) else [part]
