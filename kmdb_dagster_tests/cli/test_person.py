"""The command `kmdb person`: identities, profile and timeline of a person, for the owner of the file only."""

import json
import stat
from pathlib import Path

import pytest

from kmdb_dagster.digest import digest
from kmdb_dagster.erasure.requests import request_erasure
from kmdb_dagster.warehouse import Warehouse
from testing.buckets import T, alias, event, property_set
from testing.revisions import Revisions
from testing.terminal import Terminal

LINES = (
    event("visited site", "cookie", T, url="/"),
    event("signed up", "bob@example.com", T + 60, plan="free"),
    alias("cookie", "bob@example.com", T + 60),
    alias("12", "bob@example.com", T + 61),
    property_set("12", T + 86_400, plan="crew"),
    event("visited site", "eve", T),
)


@pytest.fixture
def known(ready: Terminal, warehouse: Warehouse, tmp_path: Path) -> Terminal:
    """A terminal at a database with two people."""
    Revisions(warehouse, tmp_path).put(1, *LINES)
    return ready


@pytest.mark.parametrize("identity", ["cookie", "bob@example.com", '  "12"  '])
def test_any_identity_shows_the_person(known: Terminal, identity: str) -> None:
    ended = known.kmdb("person", "-", standard_input=identity)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [
        "12: 3 identities, 2 events from 2014-04-15 to 2014-04-15",
        "Identities",
        "  12",
        "  bob@example.com",
        "  cookie",
        "Latest properties",
        "  plan  crew  (2014-04-16)",
        "  url   /  (2014-04-15)",
        "Timeline, the latest 20 lines",
        "  2014-04-16 15:57:33  (set) plan = crew",
        "  2014-04-15 15:58:33  signed up: plan = free",
        "  2014-04-15 15:57:33  visited site: url = /",
    ]


def test_an_identity_is_asked_for_and_never_an_argument(known: Terminal) -> None:
    ended = known.kmdb("person", "--lines", "1", standard_input="eve\n")
    assert ended.out.startswith("eve: 1 identities, 1 events")
    assert known.kmdb("person", "eve").code == 2


def test_json_has_everything_of_each_person_and_is_for_its_owner_only(known: Terminal) -> None:
    ended = known.kmdb("person", "-", "--json", "bob.json", standard_input="cookie\neve\n12\n")
    file = known.folder / "bob.json"
    assert ended.err.startswith("Wrote bob.json: 2 people. It is a copy that `kmdb forget` does not reach")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    bob, eve = map(json.loads, file.read_text().splitlines())
    assert (bob["person"], bob["identities"]) == ("12", ["12", "bob@example.com", "cookie"])
    assert (bob["events"], bob["first_seen"]) == (2, "2014-04-15T15:57:33")
    assert bob["properties"][0] == {"name": "plan", "value": "crew", "t": "2014-04-16T15:57:33"}
    assert bob["lines"][1] == {
        "t": "2014-04-15T15:58:33",
        "identity": "bob@example.com",
        "event": "signed up",
        "properties": {"plan": "free"},
    }
    assert [len(one["lines"]) for one in (bob, eve)] == [3, 1]


def test_a_person_that_is_not_there_or_being_erased_is_named_by_the_line(known: Terminal, warehouse: Warehouse) -> None:
    request_erasure(warehouse.engine, [digest("cookie")])
    ended = known.kmdb("person", "-", standard_input="eve\nnobody\n12\n")
    assert ended.code == 1
    assert ended.err == "kmdb: 2 of 3 identities are not in the database: line 2, 3.\n"
    assert "bob" not in ended.out


def test_a_hostile_name_sends_no_control_sequences_to_the_terminal(
    ready: Terminal, warehouse: Warehouse, tmp_path: Path
) -> None:
    name = "\x1b[2J\u202e\nkmdb: done"
    Revisions(warehouse, tmp_path).put(1, event(name, "eve", T, **{name: name}), alias("eve", name, T))
    shown = ready.kmdb("person", "-", standard_input="eve").out
    assert not [part for part in ("\x1b", "\u202e", "\nkmdb: done") if part in shown]
