"""Views of an event and of people, created by the command and queried as a BI tool does."""

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from kmdb_dagster.analysis.names import unique_names
from kmdb_dagster.analysis.views import list_views, view_name
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster_tests.analysis.conftest import LONG
from testing.query_plans import explained
from testing.revisions import Revisions, one
from testing.terminal import Ended, Terminal


class Tool:
    """Makes views by the command, and asks them."""

    def __init__(self, warehouse: Warehouse, terminal: Terminal) -> None:
        self.engine = warehouse.engine
        self._terminal = terminal

    def kmdb(self, *arguments: str) -> Ended:
        """`kmdb view …`."""
        return self._terminal.kmdb(
            "view", *arguments, DATABASE_URL=self.engine.url.render_as_string(hide_password=False)
        )

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """What a view holds."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement)).mappings()]


@pytest.fixture
def tool(by_hand: Warehouse, terminal: Terminal) -> Iterator[Tool]:
    """The database of known lines."""
    made = Tool(by_hand, terminal)
    yield made
    for view in list_views(by_hand.engine):
        assert made.kmdb("drop", view.name).code == 0


def test_the_view_of_an_event_has_one_row_per_event_and_one_typed_column_per_property(tool: Tool) -> None:
    ended = tool.kmdb("create", "signed up")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("event_signed_up: 6 properties.\n")
    first, second = tool.rows("SELECT * FROM event_signed_up ORDER BY t")
    assert (first["price"], first["seats"], first["when"]) == (Decimal("4.50"), 3, datetime(2014, 4, 15, 10))  # noqa: DTZ001 - as in the tables
    assert (second["price"], second["seats"], second["when"]) == (Decimal(10), -12, None)
    assert (first["user_id"], first["identity_id"]) == tuple(
        one(tool.engine, f"SELECT id FROM users WHERE name = '{name}'")  # noqa: S608 - ours
        for name in ("42", "bob@example.com")
    )


def test_properties_with_colliding_column_names_have_separate_columns(tool: Tool) -> None:
    tool.kmdb("create", "signed up")
    _, second = tool.rows("SELECT * FROM event_signed_up ORDER BY t")
    names = unique_names(["plan", "Plan", "event_id"], taken=["event_id"])
    assert len({name.lower() for name in names.values()} | {"event_id"}) == 4
    assert (second[names["plan"]], second[names["Plan"]], second[names["event_id"]]) == ("crew", "other", 12)


def test_a_view_can_be_replaced_with_other_properties(tool: Tool) -> None:
    tool.kmdb("create", "signed up")
    ended = tool.kmdb("create", "signed up", "--property", "seats")
    assert ended.out == "event_signed_up: 1 properties.\n  BIGINT         seats\n"
    assert [list(row) for row in tool.rows("SELECT * FROM event_signed_up LIMIT 1")] == [
        ["event_id", "t", "user_id", "identity_id", "seats"]
    ]


def test_a_value_that_came_later_and_does_not_fit_is_null(tool: Tool, revisions: Revisions) -> None:
    own = Tool(revisions.warehouse, tool._terminal)  # noqa: SLF001 - the same folder
    line = b'{"_n":"paid","_p":"%d","_t":1397577453,"amount":"%s"}\n'
    revisions.put(1, line % (1, b"12"))
    assert "BIGINT         amount" in own.kmdb("create", "paid").out
    revisions.put(2, line % (2, b"twelve"))
    assert sorted(str(row["amount"]) for row in own.rows("SELECT amount FROM event_paid")) == ["12", "None"]
    assert "text           amount" in own.kmdb("create", "paid").out
    assert sorted(row["amount"] for row in own.rows("SELECT amount FROM event_paid")) == ["12", "twelve"]


def test_the_view_of_people_has_one_row_per_person(tool: Tool) -> None:
    assert tool.kmdb("people", "--property", "plan", "--property", "zip").code == 0
    bob, eve = tool.rows("SELECT * FROM people ORDER BY person")
    assert (bob["person"], bob["identities"], bob["events"], bob["plan"], bob["zip"]) == ("42", 3, 3, "crew", "007")
    assert (eve["person"], eve["identities"], eve["events"], eve["plan"], eve["zip"]) == ("eve", 1, 2, "crew", None)
    assert str(bob["first_seen"]) == "2014-04-15 15:57:33"
    assert str(bob["last_seen"]) == "2014-04-16 15:57:33"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["people", "--property", "nope"], "No property is called 'nope'."),
        (["people", "--property", "Zip"], "No property is called 'Zip'. Did you mean 'zip'?"),
        (["people", "--property", "signed up"], "'signed up' is the name of an event, not of a property."),
        (["create", "plan"], "'plan' is the name of a property, not of an event."),
        (["create", "sined up"], "No event is called 'sined up'. Did you mean 'signed up'?"),
    ],
    ids=" ".join,
)
def test_a_view_of_a_name_that_no_event_or_property_has_is_refused(tool: Tool, arguments: list[str], said: str) -> None:
    ended = tool.kmdb(*arguments)
    assert (ended.code, ended.out) == (1, "")
    assert said in ended.err
    assert not list_views(tool.engine)


def test_views_are_listed_and_dropped(tool: Tool) -> None:
    tool.kmdb("create", "signed up")
    tool.kmdb("people", "--property", LONG + "the first", "--property", LONG + "the second")
    assert [line.split() for line in tool.kmdb("list").out.splitlines()] == [
        ["event_signed_up", "10", "columns"],
        ["people", "8", "columns"],
    ]
    assert tool.kmdb("drop", "people").code == 0
    assert tool.kmdb("drop", "people").err.startswith("kmdb: There is no view 'people' of kmdb.")
    assert tool.kmdb("drop", "events").code == 1
    assert one(tool.engine, "SELECT COUNT(*) FROM events") == 5


def test_events_with_colliding_names_have_separate_views(tool: Tool) -> None:
    names = ["signed up", "signed-up", "Signed up", "x" * 100, "日本"]
    made = {name: view_name(name, [*names, "visited site"]) for name in names}
    assert len(set(made.values())) == len(names)
    assert all(len(name) <= 64 for name in made.values())
    assert view_name("visited site", [*names, "visited site"]) == "event_visited_site"
    with pytest.raises(PermanentError, match="No event has this name"):
        view_name("never seen", names)
    assert tool.kmdb("create", "never seen").code == 1


def test_an_event_with_too_many_properties_leaves_out_the_rarest(tool: Tool, revisions: Revisions) -> None:
    own = Tool(revisions.warehouse, tool._terminal)  # noqa: SLF001 - the same folder
    wide = {f"property {n}": str(n) for n in range(70)}
    line = {"_n": "wide", "_p": "bob", "_t": 1397577453}
    revisions.put(1, *(json.dumps(line | part).encode() + b"\n" for part in (wide, {"property 69": "7"})))
    assert own.kmdb("create", "wide").out.endswith(
        "15 more properties do not fit into a view. Choose some with --property.\n"
    )
    values = [row["property 69"] for row in own.rows("SELECT * FROM event_wide e JOIN users u ON u.id = e.user_id")]
    assert sorted(values) == [7, 69]


def partitions(table: dict[str, Any]) -> int:
    return len(table["partitions"])


def test_a_span_of_time_reads_few_partitions_of_events_through_a_view(tool: Tool) -> None:
    tool.kmdb("create", "signed up", "--property", "plan", "--property", "seats")
    asked = "SELECT plan, COUNT(*) FROM event_signed_up WHERE t >= '2014-04-14' AND t < '2014-04-21' GROUP BY plan"
    found = explained(tool.engine, asked, names={"e", "p1", "p2"})
    assert {table["table_name"] for table in found} == {"e", "p1", "p2"}
    for table in found:
        if table["table_name"] == "e":
            assert partitions(table) <= 2
        else:
            # In the one partition of the event's time, which the server finds for each event: the key's t is e.t.
            assert table["used_key_parts"] == ["key", "t"]


def test_the_properties_of_an_event_are_found_by_event_and_time(sample: Warehouse) -> None:
    joined = "SELECT p.value FROM events e JOIN properties p ON p.event_id = e.id AND p.t = e.t WHERE e.n = 1"
    (found,) = (table for table in explained(sample.engine, joined) if table["table_name"] == "p")
    assert found["key"] == "by_event"
    assert found["used_key_parts"] == ["event_id", "t"]
