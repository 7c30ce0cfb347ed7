"""The user map: merges and splits by alias lines, and the facts that move."""

from typing import cast

import pytest
from sqlalchemy import Engine, event

from kmdb_dagster.warehouse.connection.server import IDS_PER_STATEMENT
from kmdb_dagster.warehouse.identity.user_map import MOVES_PER_TRANSACTION, move_facts
from kmdb_dagster.warehouse.schema.row_ids import row_id
from testing.buckets import T, alias, property_set
from testing.buckets import event as came
from testing.revisions import Revisions, misplaced, one, people, rows


def alias_lines(*pairs: str) -> list[bytes]:
    """``alias_lines("a-b", "b-c")``: alias lines."""
    return [alias(one, other) for one, other in (pair.split("-") for pair in pairs)]


def persons(engine: Engine) -> dict[str, set[str]]:
    """The map as persons with their identities."""
    found: dict[str, set[str]] = {}
    for identity, person in people(engine).items():
        found.setdefault(person, set()).add(identity)
    return found


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (["b-a"], {"a": "ab"}),
        (["a-b", "b-c", "c-d"], {"a": "abcd"}),
        (["c-d", "a-b", "b-c"], {"a": "abcd"}),
        (["a-b", "b-c", "c-a"], {"a": "abc"}),
        (["z-a", "z-b", "z-c", "x-y"], {"a": "abcz", "x": "xy"}),
        (["a-a"], {"a": "a"}),
        (["a-b", "b-a", "a-b", "b-b"], {"a": "ab"}),
        (["a-7", "b-5", "a-b"], {"5": "57ab"}),
        (["1-2"], {"1": "12"}),
    ],
)
def test_a_person_is_a_connected_component_of_the_alias_lines(
    engine: Engine, revisions: Revisions, pairs: list[str], expected: dict[str, str]
) -> None:
    revisions.resolve(1, *alias_lines(*pairs))
    assert persons(engine) == {person: set(members) for person, members in expected.items()}


@pytest.mark.parametrize("number", range(3))
def test_people_do_not_depend_on_the_split_of_alias_lines_into_revisions(
    engine: Engine, revisions: Revisions, number: int
) -> None:
    pairs = ["e-d", "a-b", "d-c", "7-e", "c-b", "x-x"]
    for revision, pair in enumerate(pairs[number:] + pairs[:number], start=1):
        revisions.resolve(revision, *alias_lines(pair))
    assert persons(engine) == {"7": set("abcde7"), "x": {"x"}}


def test_alias_lines_are_stored_as_they_were_written(engine: Engine, revisions: Revisions) -> None:
    revisions.resolve(3, *alias_lines("b-a", "b-a"), alias("ä ", "ä", T + 1))
    stored = rows(engine, "SELECT id, UNIX_TIMESTAMP(t), name1, name2 FROM aliases ORDER BY id")
    assert stored == [
        (row_id(3, 1), T, "b", "a"),
        (row_id(3, 2), T, "b", "a"),
        (row_id(3, 3), T + 1, "ä ", "ä"),
    ]
    assert len(persons(engine)) == 2


def test_resolving_a_revision_again_changes_nothing_and_takes_no_lock(engine: Engine, revisions: Revisions) -> None:
    lines = alias_lines("a-b", "b-c")
    assert revisions.resolve(1, *lines) == (2, 2)
    with engine.begin() as holding:
        holding.exec_driver_sql("SELECT * FROM warehouse_state LOCK IN SHARE MODE")
        assert revisions.resolve(1, *lines) == (2, 0)
        assert revisions.resolve(2) == (0, 0)


def test_a_removed_alias_line_splits_its_person(engine: Engine, revisions: Revisions) -> None:
    revisions.resolve(1, *alias_lines("a-b", "b-c", "c-d"))
    revisions.resolve(1, *alias_lines("a-b", "c-d"))
    assert persons(engine) == {"a": set("ab"), "c": set("cd")}
    revisions.resolve(1)
    assert persons(engine) == {name: {name} for name in "abcd"}
    assert one(engine, "SELECT COUNT(*) FROM aliases") == 0


def test_an_alias_line_of_two_revisions_stays_while_one_has_it(engine: Engine, revisions: Revisions) -> None:
    revisions.resolve(1, *alias_lines("a-b", "b-c"))
    revisions.resolve(2, *alias_lines("b-a"))
    revisions.resolve(1, *alias_lines("x-y"))
    assert persons(engine) == {"a": set("ab"), "c": {"c"}, "x": set("xy")}


def test_a_revision_that_gains_and_loses_alias_lines_is_resolved_again(engine: Engine, revisions: Revisions) -> None:
    revisions.resolve(2, *alias_lines("p-q", "c-d"))
    revisions.resolve(1, *alias_lines("a-b", "b-c"))
    revisions.resolve(1, *alias_lines("a-b", "b-p"))
    assert persons(engine) == {"a": set("abpq"), "c": set("cd")}


def test_a_revision_does_not_change_the_aliases_of_its_neighbours(engine: Engine, revisions: Revisions) -> None:
    for revision in (1, 2, 3):
        revisions.resolve(revision, *alias_lines(f"a{revision}-b{revision}"))
    revisions.resolve(2)
    assert rows(engine, "SELECT name1 FROM aliases ORDER BY id") == [("a1",), ("a3",)]


def test_people_with_more_identities_than_a_statement_takes_are_merged_and_split(
    engine: Engine, revisions: Revisions
) -> None:
    crowd = IDS_PER_STATEMENT + 5
    star = [alias("hub", f"user{number}") for number in range(crowd)]
    assert revisions.resolve(1, *star).changed == crowd
    assert revisions.resolve(2, *alias_lines("hub-1")).changed == crowd + 1
    assert set(people(engine).values()) == {"1"}
    assert revisions.resolve(1, *star[:1]).changed == crowd - 1
    assert persons(engine)["1"] == {"hub", "1", "user0"}


def test_facts_move_to_the_person_of_a_later_merge(engine: Engine, revisions: Revisions) -> None:
    revisions.put(1, came("came", "c", plan="pro"), property_set("b", sex="f"), came("went", "x"))
    revisions.put(2, *alias_lines("c-b", "b-a"))
    assert misplaced(engine) == 0
    assert set(rows(engine, STANDING)) == {("c", "a"), ("b", "a"), ("x", "x")}


STANDING = """
    SELECT i.name, u.name FROM (SELECT identity_id, user_id FROM events UNION ALL SELECT identity_id, user_id
    FROM properties) f JOIN users i ON i.id = f.identity_id JOIN users u ON u.id = f.user_id
"""


def test_facts_move_back_when_the_alias_line_is_removed(engine: Engine, revisions: Revisions) -> None:
    revisions.put(1, came("came", "b"), came("came", "a", plan="pro"))
    revisions.put(2, *alias_lines("b-a"))
    revisions.put(2)
    assert set(rows(engine, STANDING)) == {("b", "b"), ("a", "a")}


def test_pending_moves_end_at_the_person_of_the_final_map(engine: Engine, revisions: Revisions) -> None:
    revisions.load(1, came("came", "d"))
    for revision, pair in enumerate(("d-c", "c-b", "b-a"), start=2):
        revisions.resolve(revision, *alias_lines(pair))
    revisions.resolve(3)
    assert one(engine, "SELECT COUNT(*) FROM pending_moves") > 1
    move_facts(engine)
    assert set(rows(engine, STANDING)) == {("d", "c")}
    assert one(engine, "SELECT COUNT(*) FROM pending_moves") == 0


def test_facts_of_more_people_than_one_batch_all_move(engine: Engine, revisions: Revisions) -> None:
    crowd = MOVES_PER_TRANSACTION * 2 + 1
    revisions.load(1, *(came("came", f"user{number}") for number in range(crowd)))
    revisions.resolve(2, *(alias("1", f"user{number}") for number in range(crowd)))
    steps: list[tuple[int, int]] = []
    assert move_facts(engine, lambda _, *done: steps.append(done)) == crowd
    assert steps == [(MOVES_PER_TRANSACTION, crowd), (2 * MOVES_PER_TRANSACTION, crowd), (crowd, crowd)]
    assert misplaced(engine) == 0
    assert len(set(rows(engine, STANDING))) == crowd


def test_moving_again_moves_nothing(engine: Engine, revisions: Revisions) -> None:
    revisions.put(1, came("came", "b"), *alias_lines("b-a"))
    assert move_facts(engine) == 0


def test_facts_are_moved_by_an_index_whatever_the_number_of_people(engine: Engine, revisions: Revisions) -> None:
    crowd = MOVES_PER_TRANSACTION + 1
    revisions.load(1, *(came("came", f"user{number}", plan="pro") for number in range(crowd)))
    revisions.resolve(2, *(alias("1", f"user{number}") for number in range(crowd)))
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: sent.append(explained(arguments)))
    move_facts(engine)
    updates = [statement for statement in sent if statement.startswith("EXPLAIN")]
    assert len(updates) == 4
    for update in updates:
        plan = str(rows(engine, update.replace(":", "\\:")))
        # MySQL's words for reading a whole table, and MariaDB's.
        assert "by_user" in plan
        assert "Table scan on f" not in plan
        assert "'f', 'ALL'" not in plan


def explained(arguments: tuple[object, ...]) -> str:
    """The statement that asks how one would be carried out, with its parameters filled in."""
    statement, parameters = str(arguments[2]), cast("tuple[object, ...]", arguments[3])
    if not statement.startswith("UPDATE JSON_TABLE"):
        return statement
    return "EXPLAIN " + statement % tuple(repr(str(parameter)) for parameter in parameters)
