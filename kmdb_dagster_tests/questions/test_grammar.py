"""The grammar of questions, and the errors of wrong ones."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kmdb_dagster.charts.number_text import describe_duration, round_duration
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.delay import Delay
from kmdb_dagster.questions.drivers import Drivers
from kmdb_dagster.questions.experiment import Experiment
from kmdb_dagster.questions.funnel import Funnel
from kmdb_dagster.questions.grammar import QUESTIONS, parse
from kmdb_dagster.questions.lifetime import Lifetime
from kmdb_dagster.questions.paths import Paths
from kmdb_dagster.questions.periods import Months
from kmdb_dagster.questions.power import Power
from kmdb_dagster.questions.question import Question, join_steps
from kmdb_dagster.questions.repeats import Repeats
from kmdb_dagster.questions.retention import Retention
from kmdb_dagster.questions.segment import Condition, Segment
from kmdb_dagster.questions.sessions import Sessions
from kmdb_dagster.questions.span import Span, When
from kmdb_dagster.questions.trend import Trend

DAY = 86_400


@pytest.mark.parametrize(
    ("line", "question"),
    [
        ("trend", Trend()),
        ("trend a 'b c' --by x --every 2h --people", Trend(("a", "b c"), "x", 7200, people=True)),
        ("trend a --value x --measure median --by y", Trend(("a",), "y", value="x", measure="median")),
        ("lifetime a x --within 60d --every 30d", Lifetime("a", "x", 60 * DAY, 30 * DAY)),
        ("funnel a b --within 14d --by x", Funnel(("a", "b"), 14 * DAY, "x")),
        ("retention a", Retention("a")),
        ("retention a b --every 1w", Retention("a", "b", 7 * DAY)),
        ("sessions", Sessions()),
        ("sessions a b --gap 10min --every 1mo", Sessions(("a", "b"), 600, Months(1))),
        ("paths a", Paths("a")),
        ("paths a b --without x --without y --longest 3", Paths("a", "b", DAY, ("x", "y"), 3)),
        ("delay a b --within 90s", Delay("a", "b", 90)),
        ("power a b --each 1w --every 4w", Power(("a", "b"), 28 * DAY, 7 * DAY)),
        ("repeats a b --by x", Repeats("a", "b", 30 * DAY, "x")),
        ("experiment x b --control old", Experiment("x", "b", 7 * DAY, "old")),
        ("drivers a b --with x --with y", Drivers("a", "b", ("x", "y"), 7 * DAY)),
        ("funnel a --last 1w", Funnel(("a",), 7 * DAY, when=When(last=7 * DAY))),
        (
            "funnel a --did b --did-not c --in-cohort d.txt --where 'plan name=crew' --where-event a 'n>2'",
            Funnel(
                ("a",),
                7 * DAY,
                who=Segment(
                    (Condition("plan name", "=", "crew"),),
                    (("a", Condition("n", ">", "2")),),
                    ("b",),
                    ("c",),
                    (Path("d.txt"),),
                ),
            ),
        ),
        (
            "funnel a --since 2014-01-31 --until '2014-02-01 12:30+02:00'",
            Funnel(
                ("a",),
                7 * DAY,
                when=When(datetime(2014, 1, 31, tzinfo=UTC), datetime(2014, 2, 1, 10, 30, tzinfo=UTC)),
            ),
        ),
    ],
)
def test_a_line_of_the_grammar_is_a_question(line: str, question: Question) -> None:
    assert parse(line) == question


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "Missing command"),
        ("funel a", "No such command 'funel'"),
        ("funnel", "Missing argument 'STEPS...'"),
        ("funnel 'a", "No closing quotation"),
        ("funnel a --within week", "'week' is not a duration"),
        ("funnel a --within 0d", "'0d' is not a duration"),
        ("funnel a --since yesterday", "'yesterday' is not a date"),
        ("drivers a b", "Missing option '--with'"),
        ("trend a --measure sum", "--measure needs --value PROPERTY"),
        ("trend a --value x --measure most", "'most' is not one of"),
        ("paths a --longest 1", "1 is not in the range 2<=x<=10"),
    ],
)
def test_an_invalid_question_is_an_error_with_the_reason(line: str, said: str) -> None:
    with pytest.raises(PermanentError) as caught:
        parse(line)
    assert f"This is not a question: {line}" in str(caught.value)
    assert said in str(caught.value)


def test_two_starts_of_a_span_are_refused() -> None:
    with pytest.raises(PermanentError, match="use one of them"):
        parse("trend --since 2014-01-01 --last 7d")


def test_a_span_that_ends_before_it_starts_is_refused() -> None:
    start = datetime(2014, 1, 2, tzinfo=UTC)
    with pytest.raises(PermanentError, match="The span is empty"):
        Span(start, start)


def test_a_span_is_divided_into_hours_days_or_weeks() -> None:
    start = datetime(2014, 1, 1, tzinfo=UTC)
    lengths = [Span(start, start + timedelta(days)).default_period() for days in (1, 30, 365)]
    assert lengths == [3600, DAY, 7 * DAY]


def test_durations_are_written_as_text() -> None:
    assert [describe_duration(length) for length in (1, 90, 3600, 7 * DAY)] == [
        "1 second",
        "90 seconds",
        "1 hour",
        "7 days",
    ]
    assert [round_duration(length) for length in (0, 59, 90, 5400, 1.5 * DAY)] == [
        "0 seconds",
        "59 seconds",
        "1.5 minutes",
        "1.5 hours",
        "1.5 days",
    ]


def test_the_name_of_an_event_with_an_arrow_does_not_read_as_two() -> None:
    assert join_steps(["a → b", "c"]) == "“a → b” → c"


def test_docs_all_questions_of_the_page_can_be_asked() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "ask-questions.md").read_text("utf-8")
    text = r"(?:\"[^\"]*\"|[^\s\"-]\S*)"
    options = rf"(?:--(?:csv|json|sql) |--(?:format|output|picture|people|only|save|description|schedule) {text} )*"
    asked = re.findall(rf"^\$? ?kmdb ask {options}([^-\s].*?)(?: [>|] .*| +#.*)?$", page, re.MULTILINE)
    lines = re.findall(r"^\w+ = '(.*?)'(?: +#.*)?$", page, re.MULTILINE)
    saved = set(re.findall(r"--save (\w+)", page))
    kinds = {str(command.name) for command in QUESTIONS}
    assert {line.split()[0] for line in asked} == kinds | (saved & {line.split()[0] for line in asked})
    assert lines
    assert all(parse(line) for line in [*asked, *lines] if line.split()[0] not in saved)


@pytest.mark.parametrize("command", QUESTIONS, ids=lambda command: str(command.name))
def test_docs_every_kind_of_question_has_help_with_an_example(command: object) -> None:
    assert "Example:" in command.help  # type: ignore[attr-defined]  # a click command
