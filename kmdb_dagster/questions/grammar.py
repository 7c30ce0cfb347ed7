"""How a question is written: after `kmdb ask`, as a line in a file of questions, in Dagster's Launchpad.

    funnel "visited site" "signed up" --within 7d --by "campaign name" --last 30d

Each command makes a `Question` of its arguments, and does nothing else. What the questions mean is in their modules,
which are imported by the one who asks.
"""

import shlex
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import click

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.span import RECENTLY, When, parse_length, parse_moment

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kmdb_dagster.questions.answer import Answer

WEEK = "7d"


class Question(Protocol):
    """Anything that can be asked."""

    def ask(self, engine: "Engine") -> "Answer":
        """Ask the database."""


class Length(click.ParamType[int]):
    """A length of time, in seconds."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's
        """Read it."""
        try:
            return value if isinstance(value, int) else parse_length(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[datetime]):
    """A date or a time, UTC."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401 - click's
        """Read it."""
        try:
            return value if isinstance(value, datetime) else parse_moment(value)
        except ValueError:
            self.fail(f"{value!r} is no date: expected 2014-01-31 or '2014-01-31 12:30' (UTC)", param, ctx)


def when(command: Callable[..., Question]) -> Callable[..., Question]:
    """The options that say which time a question is about, as the argument ``when``."""

    def with_when(*, since: datetime | None, until: datetime | None, last: int | None, **others: Any) -> Question:  # noqa: ANN401 - the command's own
        return command(**others, when=When(since, until, last or RECENTLY.last))

    with_when.__doc__ = command.__doc__
    with_when.__name__ = command.__name__
    for option in (
        click.option("--last", type=Length(), help="So long before the end, from midnight on. [default: 30d]"),
        click.option("--until", type=Moment(), help="Before this time. [default: where the data ends]"),
        click.option("--since", type=Moment(), help="From this time on."),
    ):
        with_when = option(with_when)
    return with_when


within = click.option(
    "--within", type=Length(), default=WEEK, show_default=True, help="At most so long after the first."
)
by = click.option("--by", metavar="PROPERTY", help="Apart for each value of a property: a person's first in the span.")
every = click.option("--every", type=Length(), help="Of each hour, day, week: 1h, 1d, 7d. [default: by the span]")


@click.command()
@click.argument("events", nargs=-1)
@click.option("--by", metavar="PROPERTY", help="Apart for each value of a property of the event.")
@every
@click.option("--people", is_flag=True, help="Draw people, each once in a piece of time, not events.")
@when
def trend(**asked: Any) -> Question:  # noqa: ANN401 - what the options say
    """How often EVENTS happen over time (all, if none is named).

    \b
    Example:
        kmdb ask trend "signed up" --every 1d
    """
    from kmdb_dagster.questions.trend import Trend

    return Trend(**asked)


@click.command()
@click.argument("steps", nargs=-1, required=True)
@within
@by
@when
def funnel(**asked: Any) -> Question:  # noqa: ANN401 - what the options say
    """How many people do the first of STEPS, then the second, and so on.

    \b
    Example:
        kmdb ask funnel "visited site" "signed up" --within 7d --by "campaign name"
    """
    from kmdb_dagster.questions.funnel import Funnel

    return Funnel(**asked)


@click.command()
@click.argument("start")
@click.argument("back", required=False)
@every
@when
def retention(**asked: Any) -> Question:  # noqa: ANN401 - what the options say
    """Of those who do START for the first time, how many do BACK (anything, if it is not named) later.

    \b
    Example:
        kmdb ask retention "signed up" --every 7d --last 90d
    """
    from kmdb_dagster.questions.retention import Retention

    return Retention(**asked)


@click.command()
@click.argument("start")
@click.argument("goal", required=False)
@click.option("--within", type=Length(), default="1d", show_default=True, help="At most so long after the first.")
@click.option("--without", multiple=True, metavar="EVENT", help="Pass over these events.")
@click.option("--longest", type=click.IntRange(2, 10), default=5, show_default=True, help="Events of a path.")
@when
def paths(**asked: Any) -> Question:  # noqa: ANN401 - what the options say
    """What people do after START, or between START and GOAL.

    \b
    Example:
        kmdb ask paths "visited site" "signed up" --without "page view"
    """
    from kmdb_dagster.questions.paths import Paths

    return Paths(**asked)


@click.command()
@click.argument("start")
@click.argument("goal")
@within
@by
@when
def delay(**asked: Any) -> Question:  # noqa: ANN401 - what the options say
    """How long people take from START to GOAL.

    \b
    Example:
        kmdb ask delay "visited site" "signed up" --within 14d
    """
    from kmdb_dagster.questions.delay import Delay

    return Delay(**asked)


@click.command()
@click.argument("variant", metavar="PROPERTY")
@click.argument("goal")
@within
@click.option("--control", metavar="VALUE", help="What the others are compared with. [default: the most frequent]")
@when
def experiment(**asked: Any) -> Question:  # noqa: ANN401 - what the options say
    """Whether people with one value of PROPERTY do GOAL more often than those with another.

    \b
    Example:
        kmdb ask experiment "headline test" "signed up" --within 7d
    """
    from kmdb_dagster.questions.experiment import Experiment

    return Experiment(**asked)


@click.command()
@click.argument("start")
@click.argument("goal")
@click.option("--with", "properties", multiple=True, required=True, metavar="PROPERTY", help="A property to look at.")
@within
@when
def drivers(**asked: Any) -> Question:  # noqa: ANN401 - what the options say
    """Which values of properties go with GOAL among those who did START: a logistic regression.

    \b
    Example:
        kmdb ask drivers "visited site" "signed up" --with "campaign name" --with "headline test"
    """
    from kmdb_dagster.questions.drivers import Drivers

    return Drivers(**asked)


QUESTIONS = (trend, funnel, retention, paths, delay, experiment, drivers)

_all = click.Group("question", commands=QUESTIONS, no_args_is_help=False)


def parse(line: str) -> Question:
    """The question that a line asks.

    Raises:
        PermanentError: it asks none; the message says why.
    """
    try:
        question: Question = _all.main(shlex.split(line), standalone_mode=False)
    except (click.ClickException, ValueError) as error:
        said = error.format_message() if isinstance(error, click.ClickException) else str(error)
        raise PermanentError(
            f"This is no question: {line}\n{said} `kmdb ask --help` shows how questions are written."
        ) from None
    return question
