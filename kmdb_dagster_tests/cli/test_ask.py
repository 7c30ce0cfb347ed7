"""The command `kmdb ask`, against a real database."""

import re
import shlex
from pathlib import Path

import pytest

from testing.buckets import T, event
from testing.revisions import Revisions
from testing.terminal import Terminal

FUNNEL = ("funnel", "visited site", "signed up", "--within", "1h")


@pytest.fixture
def asked(ready: Terminal, warehouse: object, tmp_path: Path) -> Terminal:
    """A terminal at a database with three visitors; one signs up."""
    lines = [event("visited site", name, T) for name in ("ann", "bob", "carl")]
    lines += [event("signed up", "bob", T + 60, plan="crew")]
    Revisions(warehouse, tmp_path).put(1, *lines)  # type: ignore[arg-type]  # the fixture's warehouse
    return ready


def test_an_answer_has_the_finding_the_numbers_and_the_caveats(asked: Terminal) -> None:
    ended = asked.kmdb("ask", *FUNNEL)
    assert ended.code == 0
    assert ended.out.startswith("visited site → signed up within 1 hour\n33.3 % of 3 people reach the last step.\n")
    assert "2 signed up 1 33.3 % 33.3 %" in " ".join(ended.out.split())
    assert "* People who started in the last hour of the data may still convert" in ended.out
    assert "SELECT" not in ended.out


def test_days_are_those_of_the_zone_of_the_site(asked: Terminal) -> None:
    shown = asked.kmdb("ask", *FUNNEL, "--since", "2014-04-01", KMDB_TIME_ZONE="Europe/London").out
    assert "Europe/London" in shown
    assert "Europe/London" not in asked.kmdb("ask", *FUNNEL, "--tz", "UTC", KMDB_TIME_ZONE="Europe/London").out


def test_the_sql_is_shown_on_demand_with_the_names_of_its_numbers(asked: Terminal) -> None:
    shown = asked.kmdb("ask", "--sql", *FUNNEL).out
    assert "= 'visited site'" in shown
    assert "FROM events" in shown


def test_csv_is_printed_and_a_picture_is_written_to_its_file(asked: Terminal) -> None:
    ended = asked.kmdb("ask", "--csv", "--picture", "funnel.svg", *FUNNEL)
    assert ended.out.splitlines()[0] == "step,event,people,of_first,of_step_before"
    assert len(ended.out.splitlines()) == 3
    assert ended.err == "Wrote funnel.svg.\nRead from the tables, as of revision 1.\n"
    assert "<svg" in (asked.folder / "funnel.svg").read_text()


def test_a_picture_of_an_unknown_format_is_refused_before_a_query_runs(asked: Terminal) -> None:
    ended = asked.kmdb("ask", "--picture", "funnel.gif", *FUNNEL)
    assert ended.code == 2
    assert "the name must end with .png, .svg, .pdf" in ended.err


@pytest.mark.parametrize("file", ["missing/funnel.png", "funnel.png/funnel.svg"])
def test_a_picture_that_cannot_be_written_is_refused_before_a_query_runs(asked: Terminal, file: str) -> None:
    (asked.folder / "funnel.png").touch()
    ended = asked.kmdb("ask", "--sql", "--picture", file, *FUNNEL)
    assert (ended.code, ended.out) == (2, "")
    assert f"{file} cannot be written: the folder" in ended.err


def test_a_picture_is_written_in_each_format_that_is_named(asked: Terminal) -> None:
    ended = asked.kmdb("ask", "--picture", "one.png", "--picture", "one.svg", "--picture", "one.pdf", *FUNNEL)
    assert ended.err.startswith("Wrote one.png.\nWrote one.svg.\nWrote one.pdf.\n")
    starts = [(asked.folder / f"one.{kind}").read_bytes()[:5] for kind in ("png", "svg", "pdf")]
    assert starts == [b"\x89PNG\r", b"<?xml", b"%PDF-"]


@pytest.mark.parametrize("span", ["--last 999999w", "--within 999999w", "--until 9999-12-31"])
@pytest.mark.parametrize(
    "question",
    ["trend", "funnel", "retention", "power", "paths", "delay", "repeats", "experiment plan", "drivers --with plan"],
)
def test_a_span_at_the_ends_of_time_gets_an_answer_or_one_line(asked: Terminal, question: str, span: str) -> None:
    if "within" in span and question in {"trend", "retention", "power"}:
        return
    names = ["signed up"] if "experiment" in question else ["visited site", "signed up"]
    ended = asked.kmdb("ask", "--picture", "one.png", *question.split(), *names, *span.split())
    assert "Traceback" not in ended.err
    assert ended.code == 0 or ended.err.startswith("kmdb: ")


@pytest.mark.parametrize("question", ["trend", "retention 'visited site'"])
def test_a_period_that_is_too_short_is_refused_with_one_that_is_not(asked: Terminal, question: str) -> None:
    refused = asked.kmdb("ask", *shlex.split(question), "--every", "1s")
    assert (refused.code, refused.out) == (1, "")
    (enough,) = re.findall(r"Use --every (\w+) or longer", refused.err)
    assert asked.kmdb("ask", *shlex.split(question), "--every", enough).code == 0


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("funnel plan", "'plan' is the name of a property, not of an event."),
        ("funnel 'visited site' plan", "'plan' is the name of a property, not of an event."),
        ("trend plan", "'plan' is the name of a property, not of an event."),
        ("retention 'Visited site'", "No event is called 'Visited site'. Did you mean 'visited site'?"),
        ("trend --by 'signed up'", "'signed up' is the name of an event, not of a property."),
        ("delay 'visited site' 'signed up' --by plam", "No property is called 'plam'. Did you mean 'plan'?"),
        ("experiment 'visited site' 'signed up'", "'visited site' is the name of an event, not of a property."),
        ("drivers 'visited site' 'signed up' --with 'signed up'", "'signed up' is the name of an event, not of a p"),
        ("paths 'visited site' --without plan", "'plan' is the name of a property, not of an event."),
    ],
)
def test_a_name_of_the_wrong_kind_is_refused(asked: Terminal, question: str, said: str) -> None:
    ended = asked.kmdb("ask", *shlex.split(question))
    assert (ended.code, ended.out) == (1, "")
    assert said in ended.err


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("trend 'visited site'", "0 events."),
        ("funnel 'visited site' 'signed up'", "No person did “visited site” in this span."),
        ("retention 'visited site'", "No person did “visited site” in this span."),
        ("delay 'visited site' 'signed up'", "No person did “visited site” in this span."),
        ("power 'visited site' 'signed up'", "No person did it in this span."),
        ("repeats 'visited site' 'signed up'", "No person did “visited site” in this span."),
        ("paths 'visited site'", "No person did “visited site” in this span."),
        ("paths 'visited site' 'signed up'", "No person came from “visited site” to “signed up” in this span."),
        ("experiment plan 'signed up'", "No person has a “plan” in this span: there is nothing to compare."),
        ("drivers 'visited site' 'signed up' --with plan", "No person did “visited site” in this span."),
    ],
)
def test_an_empty_span_is_reported_as_one_with_the_time_that_has_the_events(
    asked: Terminal, question: str, said: str
) -> None:
    ended = asked.kmdb("ask", *shlex.split(question), "--since", "2014-03-01", "--until", "2014-03-02")
    assert said in ended.out + ended.err
    if ended.code == 0:
        assert "* There is no “visited site” in this span: its events are on 2014-04-15." in ended.out


def test_an_unknown_name_is_one_line(asked: Terminal) -> None:
    ended = asked.kmdb("ask", "funnel", "visitd site")
    assert (ended.code, ended.err) == (
        1,
        "kmdb: No event is called 'visitd site'. Did you mean 'visited site'?\n",
    )


NAME = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202egnp.exe\nkmdb: done"
ORDERS = ("\x1b", "\x07", "\x9b", "\u202e", "\nkmdb: done")


@pytest.fixture
def hostile(ready: Terminal, warehouse: object, tmp_path: Path) -> Terminal:
    """A terminal at a database in which a visitor has named an event, a property and a value."""
    Revisions(warehouse, tmp_path).put(1, event(NAME, "ann", T, **{NAME: NAME}), event("b", "ann", T + 60))  # type: ignore[arg-type]  # the fixture's warehouse
    return ready


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", "trend"],
        ["ask", "--csv", "trend"],
        ["ask", "--sql", "trend", NAME, "--by", NAME],
        ["ask", "--sql", "--csv", "funnel", NAME, "b", "--by", NAME],
        ["ask", "paths", NAME],
        ["ask", "delay", NAME, "b", "--by", NAME],
        ["ask", "power", NAME, "b"],
        ["ask", "repeats", NAME, "b", "--by", NAME],
        ["ask", "drivers", NAME, "b", "--with", NAME],
        ["ask", "trend", f"{NAME}x"],
        ["view", "create", NAME],
        ["view", "create", NAME, "--property", NAME],
        ["view", "people", "--property", NAME],
        ["view", "drop", NAME],
        ["status"],
        ["status", "--json"],
    ],
    ids=lambda arguments: " ".join(arguments[:3]).replace(NAME, "NAME"),
)
def test_a_hostile_name_prints_no_control_sequences(arguments: list[str], hostile: Terminal) -> None:
    ended = hostile.kmdb(*arguments)
    listed = hostile.kmdb("view", "list")
    assert "Traceback" not in ended.err
    for shown in (ended.out, ended.err, listed.out, listed.err):
        assert not [order for order in ORDERS if order in shown]
