"""The command `kmdb ask`, against a real database."""

from pathlib import Path

import pytest

from testing.buckets import T, event
from testing.revisions import Revisions
from testing.terminal import Terminal

FUNNEL = ("funnel", "visited site", "signed up", "--within", "1h")


@pytest.fixture
def asked(ready: Terminal, warehouse: object, tmp_path: Path) -> Terminal:
    """A terminal at a database with three visitors; one signs up."""
    lines = [event("visited site", name, T) for name in ("ann", "bob", "carl")] + [event("signed up", "bob", T + 60)]
    Revisions(warehouse, tmp_path).put(1, *lines)  # type: ignore[arg-type]  # the fixture's warehouse
    return ready


def test_an_answer_has_the_finding_the_numbers_and_the_caveats(asked: Terminal) -> None:
    ended = asked.kmdb("ask", *FUNNEL)
    assert ended.code == 0
    assert ended.out.startswith("visited site → signed up within 1 hour\n33.3 % of 3 people reach the last step.\n")
    assert "2 signed up 1 33.3 % 33.3 %" in " ".join(ended.out.split())
    assert "* People who started in the last hour of the data may still convert" in ended.out
    assert "SELECT" not in ended.out


def test_the_sql_is_shown_on_demand_with_the_names_of_its_numbers(asked: Terminal) -> None:
    shown = asked.kmdb("ask", "--sql", *FUNNEL).out
    assert "= 'visited site'" in shown
    assert "FROM events" in shown


def test_csv_is_printed_and_a_picture_is_written_to_its_file(asked: Terminal) -> None:
    ended = asked.kmdb("ask", "--csv", "--picture", "funnel.svg", *FUNNEL)
    assert ended.out.splitlines()[0] == "step,event,people,of_first,of_step_before"
    assert len(ended.out.splitlines()) == 3
    assert ended.err == "Wrote funnel.svg.\n"
    assert "<svg" in (asked.folder / "funnel.svg").read_text()


def test_a_picture_of_an_unknown_format_is_refused_before_a_query_runs(asked: Terminal) -> None:
    ended = asked.kmdb("ask", "--picture", "funnel.gif", *FUNNEL)
    assert ended.code == 2
    assert "the name must end with .png, .svg, .pdf" in ended.err


def test_an_unknown_name_is_one_line(asked: Terminal) -> None:
    ended = asked.kmdb("ask", "funnel", "visitd site")
    assert (ended.code, ended.err) == (
        1,
        "kmdb: No event or property is called 'visitd site'. Did you mean 'visited site'?\n",
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
