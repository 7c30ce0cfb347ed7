"""The catalog of questions, which forms and tools are made from, agrees with the command line."""

import re

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from kmdb_dagster.cli import main
from kmdb_dagster.errors import RequestError
from kmdb_dagster.questions.catalog import QuestionKind, Values, catalog, read_values, write_question
from kmdb_dagster.questions.grammar import QUESTIONS, parse

KINDS = {
    "event",
    "property",
    "duration",
    "period",
    "time zone",
    "date",
    "condition",
    "choice",
    "integer range",
    "boolean",
    "file",
    "text",
}
LINES = [
    "trend",
    "trend a 'b c' --by x --every 2h --people",
    "trend a --value x --measure median",
    "lifetime a x --within 60d --every 30d",
    "funnel a b --within 14d --last 1w",
    "retention a b --since 2014-01-31 --until '2014-02-01 12:30+02:00'",
    "paths a --without x --without 'y z' --longest 3",
    "experiment x b --control ''",
    "drivers a b --with x --with y",
    "funnel a --did b --did-not c --in-cohort d.txt --where 'plan name=crew' --where-event 'a b' 'n>2' --where x=1",
    "funnel -- --within -1",
]
names = st.text(min_size=1, max_size=5) | st.sampled_from(["--within", "-h", "--", "'", '"', "\\", "a b", "\n", "#"])


@pytest.mark.parametrize("kind", catalog(), ids=lambda kind: kind.name)
def test_every_question_and_parameter_of_the_catalog_is_described(kind: QuestionKind) -> None:
    assert kind.summary.endswith(".")
    assert kind.examples
    assert all(map(parse, kind.examples))
    for parameter in kind.parameters:
        assert parameter.help
        assert set(parameter.kinds) <= KINDS
        assert bool(parameter.choices) == (parameter.kinds == ("choice",))
        assert bool(parameter.bounds) == (parameter.kinds == ("integer range",))


@pytest.mark.parametrize("kind", catalog(), ids=lambda kind: kind.name)
def test_the_catalog_has_exactly_the_parameters_of_the_help(kind: QuestionKind) -> None:
    help_ = CliRunner().invoke(main, ["ask", kind.name, "--help"]).stdout
    options = set(re.findall(r"^  (--[\w-]+)", help_, re.MULTILINE)) - {"--help"}
    assert {parameter.option for parameter in kind.parameters if parameter.option} == options
    arguments = help_.split("Positional arguments:")[1].split("Options:")[0]
    words = re.findall(r"^  \[?([A-Z]+)", arguments, re.MULTILINE)
    assert len(words) == sum(parameter.option is None for parameter in kind.parameters)


def test_time_and_people_are_the_same_for_all_questions() -> None:
    shared = [[p for p in kind.parameters if p.subject != "question"] for kind in catalog()]
    assert [p.name for p in shared[0] if p.subject == "time"] == ["since", "until", "last", "zone"]
    assert [p.name for p in shared[0] if p.subject == "people"] == [
        "where",
        "where_event",
        "did",
        "did_not",
        "in_cohort",
    ]
    assert all(parameters == shared[0] for parameters in shared)


def test_a_parameter_has_its_kind_default_and_limits() -> None:
    paths = {parameter.name: parameter for kind in catalog() if kind.name == "paths" for parameter in kind.parameters}
    assert (paths["start"].kinds, paths["start"].is_required, paths["start"].option) == (("event",), True, None)
    assert (paths["goal"].kinds, paths["goal"].is_required) == (("event",), False)
    assert (paths["within"].kinds, paths["within"].default, paths["within"].option) == (("duration",), "1d", "--within")
    assert (paths["longest"].default, paths["longest"].bounds) == ("5", (2, 10))
    assert (paths["without"].is_repeatable, paths["without"].default) == (True, None)
    assert (paths["where_event"].kinds, paths["where_event"].is_repeatable) == (("event", "condition"), True)


def test_values_are_those_that_were_written() -> None:
    assert read_values("funnel a 'b c' --last 1w --where-event a n>2 --did x --did y") == (
        "funnel",
        {"steps": ["a", "b c"], "last": "1w", "where_event": [["a", "n>2"]], "did": ["x", "y"]},
    )
    assert read_values("trend --people") == ("trend", {"people": True})


@pytest.mark.parametrize("line", LINES)
def test_a_question_that_is_written_again_from_its_values_is_the_same(line: str) -> None:
    written = write_question(*read_values(line))
    assert parse(written) == parse(line)
    assert read_values(written) == read_values(line)


@given(st.lists(names, min_size=1, max_size=3), names, names)
def test_every_name_survives_being_written_and_read(steps: list[str], by: str, did: str) -> None:
    values: Values = {"steps": steps, "by": by, "did": [did]}
    assert read_values(write_question("funnel", values)).values == values


def test_a_wrong_value_or_parameter_is_refused_by_name() -> None:
    with pytest.raises(RequestError, match="No question is called 'funel'"):
        write_question("funel", {})
    with pytest.raises(RequestError, match="'funnel' has no parameter 'goal'"):
        write_question("funnel", {"goal": "a"})
    with pytest.raises(RequestError, match="'week' is not a duration"):
        write_question("funnel", {"steps": ["a"], "within": "week"})


def test_every_question_is_in_the_catalog() -> None:
    assert [kind.name for kind in catalog()] == [str(command.name) for command in QUESTIONS]
    assert all(isinstance(command, click.Command) for command in QUESTIONS)
