"""The grammar of questions: as arguments of ``kmdb ask``, as a line in a file of questions, or in Dagster's Launchpad.

    funnel "visited site" "signed up" --within 7d --by "campaign name" --last 30d

Each command turns its arguments into a `Question`, and does nothing else. It imports the question's module when called,
because Polars and matplotlib take seconds to import.
"""

import shlex
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import click

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.span import RECENTLY, When, parse_duration, parse_moment

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kmdb_dagster.questions.answer import Answer

DEFAULT_WITHIN = "7d"


class Question(Protocol):
    """A question with its parameters."""

    def ask(self, engine: "Engine") -> "Answer":
        """Answer the question from the database."""


class Duration(click.ParamType[int]):
    """A parameter that is a duration, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's
        """Parse a duration such as ``7d``."""
        try:
            return value if isinstance(value, int) else parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[datetime]):
    """A parameter that is a date or a time, in UTC."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401 - click's
        """Parse a date or a time of ISO 8601."""
        try:
            return value if isinstance(value, datetime) else parse_moment(value)
        except ValueError:
            self.fail(f"{value!r} is not a date: expected 2014-01-31 or '2014-01-31 12:30' (UTC)", param, ctx)


def when(command: Callable[..., Question]) -> Callable[..., Question]:
    """Add the options ``--since``, ``--until`` and ``--last`` to a command, as its argument ``when``."""

    def with_when(*, since: datetime | None, until: datetime | None, last: int | None, **others: Any) -> Question:  # noqa: ANN401 - the command's own
        return command(**others, when=When(since, until, last or RECENTLY.last))

    with_when.__doc__ = command.__doc__
    with_when.__name__ = command.__name__
    for option in (
        click.option("--last", type=Duration(), help="Length of the span, back to a midnight. [default: 30d]"),
        click.option("--until", type=Moment(), help="End of the span, exclusive. [default: end of the data]"),
        click.option("--since", type=Moment(), help="Start of the span, UTC."),
    ):
        with_when = option(with_when)
    return with_when


within = click.option(
    "--within", type=Duration(), default=DEFAULT_WITHIN, show_default=True, help="Time allowed after the first event."
)
by = click.option("--by", metavar="PROPERTY", help="Group people by their first value of a property in the span.")
every = click.option("--every", type=Duration(), help="Length of a period: 1h, 1d, 7d. [default: by the span]")


@click.command()
@click.argument("events", nargs=-1)
@click.option("--by", metavar="PROPERTY", help="Group events by their value of a property.")
@every
@click.option("--people", is_flag=True, help="Draw people, each once in a period, not events.")
@when
def trend(**options: Any) -> Question:  # noqa: ANN401 - the options' values
    """Count events over time, by name or by a property.

    Counts all EVENTS if you name none.

    \b
    Example:
        $ kmdb ask trend "signed up" --every 1d
    """
    from kmdb_dagster.questions.trend import Trend

    return Trend(**options)


@click.command()
@click.argument("steps", nargs=-1, required=True)
@within
@by
@when
def funnel(**options: Any) -> Question:  # noqa: ANN401 - the options' values
    """Count people who do steps in order, and where they stop.

    A person must do all STEPS within --within of the first one.

    \b
    Example:
        $ kmdb ask funnel "visited site" "signed up" --within 7d --by "campaign name"
    """
    from kmdb_dagster.questions.funnel import Funnel

    return Funnel(**options)


@click.command()
@click.argument("start")
@click.argument("back", required=False)
@every
@when
def retention(**options: Any) -> Question:  # noqa: ANN401 - the options' values
    """Count people who come back after a first event, by cohort.

    Cohorts are by the first START in the span. Coming back is BACK, or any event if you do not name it.

    \b
    Example:
        $ kmdb ask retention "signed up" --every 7d --last 90d
    """
    from kmdb_dagster.questions.retention import Retention

    return Retention(**options)


@click.command()
@click.argument("start")
@click.argument("goal", required=False)
@click.option("--within", type=Duration(), default="1d", show_default=True, help="Time allowed after the first event.")
@click.option("--without", multiple=True, metavar="EVENT", help="Skip these events.")
@click.option("--longest", type=click.IntRange(2, 10), default=5, show_default=True, help="Maximum events in a path.")
@when
def paths(**options: Any) -> Question:  # noqa: ANN401 - the options' values
    """Show the most frequent paths after an event.

    With GOAL, only paths from START to GOAL are counted.

    \b
    Example:
        $ kmdb ask paths "visited site" "signed up" --without "page view"
    """
    from kmdb_dagster.questions.paths import Paths

    return Paths(**options)


@click.command()
@click.argument("start")
@click.argument("goal")
@within
@by
@when
def delay(**options: Any) -> Question:  # noqa: ANN401 - the options' values
    """Measure how long people take from one event to another.

    From the first START in the span to the first GOAL after it.

    \b
    Example:
        $ kmdb ask delay "visited site" "signed up" --within 14d
    """
    from kmdb_dagster.questions.delay import Delay

    return Delay(**options)


@click.command()
@click.argument("variant", metavar="PROPERTY")
@click.argument("goal")
@within
@click.option("--control", metavar="VALUE", help="Value to compare with. [default: the most frequent]")
@when
def experiment(**options: Any) -> Question:  # noqa: ANN401 - the options' values
    """Compare conversion between the values of a property (A/B test).

    The share of people who do GOAL after they got their first value of PROPERTY.

    \b
    Example:
        $ kmdb ask experiment "headline test" "signed up" --within 7d
    """
    from kmdb_dagster.questions.experiment import Experiment

    return Experiment(**options)


@click.command()
@click.argument("start")
@click.argument("goal")
@click.option(
    "--with",
    "properties",
    multiple=True,
    required=True,
    metavar="PROPERTY",
    help="A property; repeatable.",
)
@within
@when
def drivers(**options: Any) -> Question:  # noqa: ANN401 - the options' values
    """Find properties that go with conversion (logistic regression).

    Which values of the properties go with GOAL, among people who did START.

    \b
    Example:
        $ kmdb ask drivers "visited site" "signed up" --with "campaign name" --with "headline test"
    """
    from kmdb_dagster.questions.drivers import Drivers

    return Drivers(**options)


QUESTIONS = (trend, funnel, retention, paths, delay, experiment, drivers)

_all = click.Group("question", commands=QUESTIONS, no_args_is_help=False)


def parse(line: str) -> Question:
    """Parse a line into a question.

    Raises:
        PermanentError: The line is not a question; the message says why.
    """
    try:
        question: Question = _all.main(shlex.split(line), standalone_mode=False)
    except (click.ClickException, ValueError) as error:
        reason = error.format_message() if isinstance(error, click.ClickException) else str(error)
        raise PermanentError(f"This is not a question: {line}\n{reason} Run `kmdb ask --help` for examples.") from None
    return question
