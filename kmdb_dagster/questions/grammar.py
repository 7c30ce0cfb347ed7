"""The grammar of questions: as arguments of ``kmdb ask``, as a line in a file of questions, or in Dagster's Launchpad.

    funnel "visited site" "signed up" --within 7d --by "campaign name" --last 30d

Each command turns its arguments into a `Question`, and does nothing else. It imports the question's module when called,
because Polars and matplotlib take seconds to import.
"""

import shlex
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from kmdb_dagster.errors import RequestError
from kmdb_dagster.questions.attribution import OF_PEOPLE, Attribution
from kmdb_dagster.questions.parameter_types import (
    ConditionType,
    Duration,
    EventName,
    Moment,
    PeriodLength,
    PropertyName,
    TimeZone,
)
from kmdb_dagster.questions.segment import Segment
from kmdb_dagster.questions.span import RECENTLY, When, to_utc

if TYPE_CHECKING:
    from kmdb_dagster.questions.question import Question

DEFAULT_WITHIN = "7d"
MEASURES = ("sum", "average", "median", "per person")
"""Of the numbers of a property (``trend --value``)."""


TIME_OPTIONS = (
    click.option("--since", type=Moment(), help="Start of the span."),
    click.option("--until", type=Moment(), help="End of the span, exclusive. [default: end of the data]"),
    click.option("--last", type=Duration(), help="Length of the span, back to a midnight. [default: 30d]"),
    click.option("--tz", "zone", type=TimeZone(), help="Time zone of all times and days. [default: KMDB_TIME_ZONE]"),
)
SEGMENT_OPTIONS = (
    click.option(
        "--where",
        type=ConditionType(),
        multiple=True,
        help="Only people whose latest value is such: 'plan name=crew'. Also !=, contains, >, <, is set; repeatable.",
    ),
    click.option(
        "--where-event",
        type=(EventName(), ConditionType()),
        multiple=True,
        metavar="EVENT CONDITION",
        help="Count an event only if its own value is such; repeatable.",
    ),
    click.option("--did", type=EventName(), multiple=True, help="Only people who did this in the span; repeatable."),
    click.option("--did-not", type=EventName(), multiple=True, help="Only people who did not; repeatable."),
    click.option(
        "--in-cohort",
        type=click.Path(dir_okay=False, path_type=Path),
        multiple=True,
        help="Only people of this file, which has an identity on each line; repeatable.",
    ),
)


def about(command: "Callable[..., Question]") -> "Callable[..., Question]":
    """Add the options on time and people to a command, as its arguments ``when`` and ``who``."""

    def asked(**others: Any) -> "Question":  # noqa: ANN401 - the command's own
        if "attribution" in others and not others.get("by", True) and _is_given("attribution"):
            raise click.UsageError("--attribution needs --by PROPERTY.")
        who = Segment(**{field.name: others.pop(field.name) for field in fields(Segment)})
        when = _when(**{field.name: others.pop(field.name) for field in fields(When)})
        return command(**others, when=when, who=who)

    asked.__doc__ = command.__doc__
    asked.__name__ = command.__name__
    for option in reversed((*TIME_OPTIONS, *SEGMENT_OPTIONS)):
        asked = option(asked)
    return asked


def _when(*, since: datetime | None, until: datetime | None, last: int | None, zone: tzinfo | None) -> When:
    if since and last:
        raise click.UsageError("--since and --last both say when the span starts: use one of them.")
    zone = zone or click.get_current_context().obj or UTC
    try:
        start, end = (to_utc(moment, zone) if moment else None for moment in (since, until))
    except ValueError as error:
        raise click.UsageError(f"{error}: this is not a date that a fact can have.") from None
    return When(start, end, last=last or RECENTLY.last, zone=zone)


def _is_given(parameter: str) -> bool:
    return click.get_current_context().get_parameter_source(parameter) is ParameterSource.COMMANDLINE


def attribution(*choices: Attribution) -> "Callable[[Callable[..., Question]], Callable[..., Question]]":
    """Return the option that says which of a person's values counts; the first choice is the default."""
    return click.option(
        "--attribution",
        type=click.Choice(list(map(str, choices))),
        default=str(choices[0]),
        show_default=True,
        callback=lambda _ctx, _param, value: Attribution(value),
        help="Which value of the property counts.",
    )


within = click.option(
    "--within", type=Duration(), default=DEFAULT_WITHIN, show_default=True, help="Time allowed after the first event."
)
by = click.option("--by", type=PropertyName(), help="Group people by their value of a property (see --attribution).")
every = click.option("--every", type=PeriodLength(), help="Length of a period: 1h, 7d, 1mo, 1q. [default: by the span]")


@click.command()
@click.argument("events", type=EventName(), nargs=-1, help="Events to count; all if you name none.")
@click.option("--by", type=PropertyName(), help="Group events by their own or their person's value of a property.")
@attribution(Attribution.OWN, *OF_PEOPLE)
@every
@click.option("--people", is_flag=True, help="Draw people, each once in a period, not events.")
@click.option("--value", type=PropertyName(), help="Sum up the numbers of this property of the events.")
@click.option("--measure", type=click.Choice(MEASURES), help="What of --value is drawn. [default: sum]")
@about
def trend(measure: str | None, **options: Any) -> "Question":  # noqa: ANN401 - the options' values
    """Count events over time, or sum up a property of theirs.

    Counts all EVENTS if you name none. With --value, the answer has the sum, the average, the median and the sum per
    person of a property with numbers, such as an amount of money.

    \b
    Example:
        $ kmdb ask trend "signed up" --every 1d
        $ kmdb ask trend billed --value "billing amount" --every 7d --by "plan name"
    """
    from kmdb_dagster.questions.trend import Trend

    if measure and not options["value"]:
        raise click.UsageError("--measure needs --value PROPERTY.")
    return Trend(**options, measure=measure or MEASURES[0])


@click.command()
@click.argument("start", type=EventName(), help="The event that people start with.")
@click.argument("value", type=PropertyName(), metavar="PROPERTY", help="The property whose numbers are summed up.")
@click.option("--within", type=PeriodLength(), default="90d", show_default=True, help="Time that counts for a person.")
@click.option(
    "--every", type=PeriodLength(), default="30d", show_default=True, help="Length of a period and of a cohort."
)
@click.option("--by", type=PropertyName(), help="Group people by their value of a property, not by cohort.")
@attribution(*OF_PEOPLE)
@about
def lifetime(**options: Any) -> "Question":  # noqa: ANN401 - the options' values
    """Sum up what people are worth after a first event.

    The sum of PROPERTY over all events of a person from the first START in the span on, by cohort (lifetime value).

    \b
    Example:
        $ kmdb ask lifetime "signed up" "billing amount" --every 30d --within 90d --last 365d
    """
    from kmdb_dagster.questions.lifetime import Lifetime

    return Lifetime(**options)


@click.command()
@click.argument("steps", type=EventName(), nargs=-1, required=True, help="Events, in their order.")
@within
@by
@attribution(*OF_PEOPLE)
@about
def funnel(**options: Any) -> "Question":  # noqa: ANN401 - the options' values
    """Count people who do steps in order, and where they stop.

    A person must do all STEPS within --within of the first one.

    \b
    Example:
        $ kmdb ask funnel "visited site" "signed up" --within 7d --by "campaign name"
    """
    from kmdb_dagster.questions.funnel import Funnel

    return Funnel(**options)


@click.command()
@click.argument("start", type=EventName(), help="The event that people start with.")
@click.argument("back", type=EventName(), required=False, help="The event that counts as a return; any if omitted.")
@every
@about
def retention(**options: Any) -> "Question":  # noqa: ANN401 - the options' values
    """Count people who come back after a first event, by cohort.

    Cohorts are by the first START in the span. Coming back is BACK, or any event if you do not name it.

    \b
    Example:
        $ kmdb ask retention "signed up" --every 7d --last 90d
    """
    from kmdb_dagster.questions.retention import Retention

    return Retention(**options)


@click.command()
@click.argument("events", type=EventName(), nargs=-1, required=True, help="Events; any of them counts.")
@click.option("--every", type=PeriodLength(), help="Length of a period. [default: 1mo, or a span of up to 60 days]")
@click.option("--each", type=Duration(), default="1d", show_default=True, help="Counted once for each person.")
@about
def power(**options: Any) -> "Question":  # noqa: ANN401 - the options' values
    """Count on how many days of a month people do something.

    Of people who do any of EVENTS in a period: how many do it on 1, 2, … 28 days or more. The ratio is that of daily to
    monthly active people (DAU/MAU).

    \b
    Example:
        $ kmdb ask power "page view" --since 2014-01-01
    """
    from kmdb_dagster.questions.power import Power

    return Power(**options)


@click.command()
@click.argument("start", type=EventName(), help="The event that people start with.")
@click.argument("goal", type=EventName(), required=False, help="Only paths that end with this event.")
@click.option("--within", type=Duration(), default="1d", show_default=True, help="Time allowed after the first event.")
@click.option("--without", type=EventName(), multiple=True, help="Skip these events.")
@click.option("--longest", type=click.IntRange(2, 10), default=5, show_default=True, help="Maximum events in a path.")
@about
def paths(**options: Any) -> "Question":  # noqa: ANN401 - the options' values
    """Show the most frequent paths after an event.

    With GOAL, only paths from START to GOAL are counted.

    \b
    Example:
        $ kmdb ask paths "visited site" "signed up" --without "page view"
    """
    from kmdb_dagster.questions.paths import Paths

    return Paths(**options)


@click.command()
@click.argument("start", type=EventName(), help="The event that people start with.")
@click.argument("goal", type=EventName(), help="The event that counts as the conversion.")
@within
@by
@attribution(*OF_PEOPLE)
@about
def delay(**options: Any) -> "Question":  # noqa: ANN401 - the options' values
    """Measure how long people take from one event to another.

    From the first START in the span to the first GOAL after it.

    \b
    Example:
        $ kmdb ask delay "visited site" "signed up" --within 14d
    """
    from kmdb_dagster.questions.delay import Delay

    return Delay(**options)


@click.command()
@click.argument("start", type=EventName(), help="The event that people start with.")
@click.argument("repeated", type=EventName(), help="The event that is counted.")
@click.option("--within", type=Duration(), default="30d", show_default=True, help="Time that counts for each person.")
@by
@attribution(*OF_PEOPLE)
@about
def repeats(**options: Any) -> "Question":  # noqa: ANN401 - the options' values
    """Count how often people do an event after another.

    How many REPEATED each person does within --within of the first START in the span.

    \b
    Example:
        $ kmdb ask repeats "signed up" billed --within 30d
    """
    from kmdb_dagster.questions.repeats import Repeats

    return Repeats(**options)


@click.command()
@click.argument("variant", type=PropertyName(), metavar="PROPERTY", help="The property that tells the variants apart.")
@click.argument("goal", type=EventName(), help="The event that counts as the conversion.")
@within
@click.option("--control", metavar="VALUE", help="Value to compare with. [default: the most frequent]")
@about
def experiment(**options: Any) -> "Question":  # noqa: ANN401 - the options' values
    """Compare conversion between the values of a property (A/B test).

    The share of people who do GOAL after they got their first value of PROPERTY.

    \b
    Example:
        $ kmdb ask experiment "headline test" "signed up" --within 7d
    """
    from kmdb_dagster.questions.experiment import Experiment

    return Experiment(**options)


@click.command()
@click.argument("start", type=EventName(), help="The event that people start with.")
@click.argument("goal", type=EventName(), help="The event that counts as the conversion.")
@click.option(
    "--with",
    "properties",
    multiple=True,
    required=True,
    type=PropertyName(),
    help="A property; repeatable.",
)
@within
@attribution(*OF_PEOPLE)
@about
def drivers(**options: Any) -> "Question":  # noqa: ANN401 - the options' values
    """Find properties that go with conversion (logistic regression).

    Which values of the properties go with GOAL, among people who did START.

    \b
    Example:
        $ kmdb ask drivers "visited site" "signed up" --with "campaign name" --with "headline test"
    """
    from kmdb_dagster.questions.drivers import Drivers

    return Drivers(**options | {"properties": tuple(dict.fromkeys(options["properties"]))})


@click.command()
@click.argument("events", type=EventName(), nargs=-1, help="Events of sessions; all if you name none.")
@click.option(
    "--gap", type=Duration(), default="30min", show_default=True, help="A longer time without an event ends a session."
)
@every
@about
def sessions(**options: Any) -> "Question":  # noqa: ANN401 - the options' values
    """Count sessions, and measure their length.

    A session is a person's events with at most --gap between two. The answer has the sessions of a person, the events
    of a session, its length, and how many have one event (bounce).

    \b
    Example:
        $ kmdb ask sessions --gap 30min --every 1d --last 30d
    """
    from kmdb_dagster.questions.sessions import Sessions

    return Sessions(**options)


QUESTIONS = (trend, sessions, lifetime, funnel, retention, power, paths, delay, repeats, experiment, drivers)

_all = click.Group("question", commands=QUESTIONS, no_args_is_help=False)


def parse(line: str, zone: tzinfo = UTC) -> "Question":
    """Parse a line into a question. This reads no setting: definitions are loaded with it.

    Args:
        line: The question, as after `kmdb ask`.
        zone: The time zone of the days, if the line has no ``--tz``.

    Raises:
        RequestError: The line is not a question; the message says why.
    """
    try:
        question: Question = _all.main(shlex.split(line), standalone_mode=False, obj=zone)
    except (click.ClickException, ValueError) as error:
        reason = error.format_message() if isinstance(error, click.ClickException) else str(error)
        raise RequestError(f"This is not a question: {line}\n{reason} Run `kmdb ask --help` for examples.") from None
    return question
