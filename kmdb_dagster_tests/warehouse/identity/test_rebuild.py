"""Realias: the rebuild of the map, after manual edits and changes of the rule."""

from datetime import date
from itertools import permutations
from pathlib import Path

import pytest
from sqlalchemy import Engine

from kmdb_dagster.digest import digest
from kmdb_dagster.erasure.erase import erase_people
from kmdb_dagster.erasure.redaction import Redactor
from kmdb_dagster.erasure.requests import request_erasure
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.lake import Lake
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.rebuild import preview_realias, realias
from kmdb_dagster.warehouse.identity.revision import resolve_revisions
from kmdb_dagster.warehouse.identity.rules import is_rule_pending
from kmdb_dagster.warehouse.maintenance.flush import flush
from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all
from testing.buckets import T, alias, event, property_set
from testing.revisions import Revisions, change, content, misplaced, one, people, rows

LINES = [
    *(event("came", name, plan="pro") for name in "abcdxy"),
    *(property_set(name, sex="f") for name in "abcdxy"),
    *(alias("a", "b"), alias("b", "c"), alias("7", "d")),
]
SPOILED = {
    "the map": ["UPDATE user_map SET user_id = 1"],
    "an identity that stands for itself": ["UPDATE user_map SET user_id = identity_id"],
    "the map, cut": ["DELETE FROM user_map WHERE identity_id % 2 = 0"],
    "the map, empty": ["DELETE FROM user_map"],
    "facts": ["UPDATE events SET user_id = 1", "UPDATE properties SET user_id = identity_id"],
    "facts without a person": ["UPDATE events SET user_id = 4294967295"],
    "both": ["UPDATE user_map SET user_id = 2", "UPDATE events SET user_id = 3", "DELETE FROM pending_moves"],
}


@pytest.mark.parametrize("how", SPOILED)
def test_realias_repairs_the_map_and_the_facts(warehouse: Warehouse, revisions: Revisions, how: str) -> None:
    revisions.put(1, *LINES)
    before = content(warehouse.engine)
    change(warehouse.engine, *SPOILED[how])
    assert content(warehouse.engine) != before
    realias(warehouse.engine, warehouse.generation())
    assert content(warehouse.engine) == before
    assert misplaced(warehouse.engine) == 0


def test_realias_of_a_correct_map_moves_nothing(warehouse: Warehouse, revisions: Revisions) -> None:
    revisions.put(1, *LINES)
    assert realias(warehouse.engine, warehouse.generation()) == (0, 0)


def test_a_second_realias_moves_nothing(warehouse: Warehouse, revisions: Revisions) -> None:
    revisions.put(1, *LINES)
    change(warehouse.engine, "UPDATE user_map SET user_id = 1", "UPDATE events SET user_id = 1")
    first = realias(warehouse.engine, warehouse.generation())
    assert min(first) > 0
    assert realias(warehouse.engine, warehouse.generation()) == (0, 0)


def test_realias_ignores_aliases_that_were_deleted_by_hand(warehouse: Warehouse, revisions: Revisions) -> None:
    revisions.put(1, *LINES)
    change(warehouse.engine, "DELETE FROM aliases WHERE name1 = 'b'")
    realias(warehouse.engine, warehouse.generation())
    found = people(warehouse.engine)
    assert (found["b"], found["c"], found["d"]) == ("a", "c", "7")
    assert misplaced(warehouse.engine) == 0


@pytest.mark.parametrize("how", SPOILED)
def test_a_preview_of_realias_counts_what_realias_then_changes(
    warehouse: Warehouse, revisions: Revisions, how: str
) -> None:
    revisions.put(1, *LINES)
    change(warehouse.engine, *SPOILED[how])
    spoiled = content(warehouse.engine)
    preview = preview_realias(warehouse.engine)
    assert content(warehouse.engine) == spoiled
    assert preview.identities == realias(warehouse.engine, warehouse.generation()).identities
    assert preview_realias(warehouse.engine) == (0, preview.people_then, preview.people_then)


def test_a_preview_of_realias_follows_the_requested_rule(warehouse: Warehouse, revisions: Revisions) -> None:
    revisions.put(1, *LINES)
    change(warehouse.engine, "INSERT INTO placeholder_identities (name) VALUES ('b')")
    preview = preview_realias(warehouse.engine)
    assert preview == (2, 4, 6)
    assert str(preview) == "2 identities would get another person. There would be 6 people instead of 4."
    assert is_rule_pending(warehouse.engine, numeric_apart=False)


def test_a_preview_of_realias_needs_the_names_of_all_alias_lines(warehouse: Warehouse, revisions: Revisions) -> None:
    revisions.put(1, *LINES)
    change(warehouse.engine, "DELETE FROM users WHERE name IN ('a', 'd')")
    with pytest.raises(PermanentError, match=r"^Run `kmdb realias` without a preview\. 2 alias lines and `users`"):
        preview_realias(warehouse.engine)


def test_a_preview_of_realias_of_an_empty_warehouse_counts_nothing(warehouse: Warehouse) -> None:
    assert preview_realias(warehouse.engine) == (0, 0, 0)


def test_realias_reports_its_progress_without_names(warehouse: Warehouse, revisions: Revisions) -> None:
    revisions.put(1, *LINES)
    change(warehouse.engine, "UPDATE user_map SET user_id = identity_id")
    said: list[tuple[str, int, int]] = []
    realias(warehouse.engine, warehouse.generation(), report=lambda *words: said.append(words))
    assert said == [
        ("looking for facts outside of their spans, time partitions", 0, 2),
        ("looking for facts outside of their spans, time partitions", 1, 2),
        ("reading aliases", 3, 0),
        ("reading names", 7, 0),
        ("reading the map", 7, 0),
        ("writing the map", 3, 3),
        ("looking through facts, spans of time", 1, 2),
        ("looking through facts, spans of time", 2, 2),
    ]


def test_realias_of_an_empty_warehouse_does_nothing(warehouse: Warehouse) -> None:
    assert realias(warehouse.engine, warehouse.generation()) == (0, 0)


def test_realias_stops_after_a_flush(engine: Engine, warehouse: Warehouse) -> None:
    generation = warehouse.generation()
    flush(engine)
    with pytest.raises(TransientError, match="flushed"):
        realias(engine, generation)


def test_the_next_import_completes_a_realias_killed_after_the_map(
    warehouse: Warehouse, revisions: Revisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = warehouse.engine
    revisions.put(1, *LINES)
    before = content(engine)["events"]
    change(engine, "UPDATE events SET user_id = 99", "UPDATE user_map SET user_id = identity_id")
    with monkeypatch.context() as patch:
        patch.setattr("kmdb_dagster.warehouse.identity.user_map.move_facts", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            realias(engine, warehouse.generation())
    assert misplaced(engine) > 0
    revisions.put(2)
    assert misplaced(engine) == 0
    assert content(engine)["events"] == before


def test_realias_searches_every_time_partition_and_the_times_outside(
    warehouse: Warehouse, revisions: Revisions
) -> None:
    engine, day = warehouse.engine, date(2014, 4, 1)
    apply_plans(engine, plan_all(engine, min_date=day, max_date=date(2014, 5, 1), days=7, today=day))
    weeks = (1, *range(T - 30 * 86400, T + 30 * 86400, 86400 // 2), 253402300799)
    revisions.put(1, *(event("came", "b", t, plan="pro") for t in weeks), alias("b", "a"))
    change(engine, "UPDATE events SET user_id = identity_id", "UPDATE properties SET user_id = 99")
    realias(engine, warehouse.generation())
    assert misplaced(engine) == 0


def test_placeholders_take_effect_with_realias_and_in_later_imports(warehouse: Warehouse, revisions: Revisions) -> None:
    engine = warehouse.engine
    revisions.put(1, *LINES, alias("anonymous", "x"), alias("anonymous", "y"))
    assert people(engine)["y"] == "anonymous"
    change(engine, "INSERT INTO placeholder_identities (name) VALUES ('anonymous')")
    revisions.put(2, alias("z", "anonymous"))
    assert people(engine)["z"] == "anonymous"
    realias(engine, warehouse.generation())
    revisions.put(3, alias("w", "anonymous"), alias("Anonymous", "v"))
    found = people(engine)
    assert [found[name] for name in ("x", "y", "z", "w", "anonymous", "v")] == [*"xyzw", "anonymous", "Anonymous"]
    assert one(engine, "SELECT COUNT(*) FROM aliases") == 8
    revisions.put(3)
    assert people(engine)["v"] == "v"
    assert misplaced(engine) == 0


def test_aliases_of_an_ignored_user_connect_nothing(warehouse: Warehouse, revisions: Revisions) -> None:
    engine = warehouse.engine
    change(engine, "INSERT INTO ignored_users (name) VALUES ('admin')")
    entry = revisions.put(1, alias("x", "admin"), alias("admin", "y"), alias("Admin", "z"), event("came", "x"))
    assert people(engine) == {"x": "x", "y": "y", "admin": "admin", "Admin": "Admin", "z": "Admin"}
    assert (entry.aliases, entry.imported, entry.ignored) == (3, 4, 0)
    assert one(engine, "SELECT COUNT(*) FROM aliases") == 3


REVISIONS_OF_ADMIN = {
    1: [event("came", "x"), alias("x", "admin")],
    2: [alias("admin", "y"), event("came", "y"), alias("y", "7")],
    3: [event("came", "z"), alias("z", "admin"), event("came", "admin")],
}


@pytest.mark.parametrize("order", list(permutations(REVISIONS_OF_ADMIN)))
@pytest.mark.parametrize("before", range(4))
def test_the_map_after_realias_does_not_depend_on_when_a_user_was_ignored(
    warehouse: Warehouse, revisions: Revisions, order: tuple[int, ...], before: int
) -> None:
    engine = warehouse.engine
    for revision in order[:before]:
        revisions.put(revision, *REVISIONS_OF_ADMIN[revision])
    change(engine, "INSERT INTO ignored_users (name) VALUES ('admin')")
    assert is_rule_pending(engine, numeric_apart=False) == (before > 0)
    for revision in order[before:]:
        revisions.put(revision, *REVISIONS_OF_ADMIN[revision])
    realias(engine, warehouse.generation())
    assert not is_rule_pending(engine, numeric_apart=False)
    assert people(engine) == {"x": "x", "y": "7", "7": "7", "z": "z", "admin": "admin"}
    assert misplaced(engine) == 0
    # No longer ignored: the same as if it never had been.
    change(engine, "DELETE FROM ignored_users")
    realias(engine, warehouse.generation())
    assert set(people(engine).values()) == {"7"}


@pytest.mark.parametrize("apart", [False, True])
def test_a_later_file_without_the_alias_of_an_ignored_user_changes_nothing(
    warehouse: Warehouse, revisions: Revisions, *, apart: bool
) -> None:
    engine = warehouse.engine
    change(engine, "INSERT INTO ignored_users (name) VALUES ('admin')")
    lines = [alias("7", "x"), alias("x", "y")]
    for more in ([alias("x", "admin"), alias("admin", "12")], []):
        resolve_revisions(
            warehouse,
            [revisions.parsed(1, *lines, *more)],
            batch_size=100,
            make_redactor=Redactor,
            numeric_apart=apart,
        )
        found = people(engine)
        assert [found[name] for name in ("7", "x", "y")] == ["7", "7", "7"]


def test_an_erased_ignored_user_connects_nothing_and_is_not_named(
    warehouse: Warehouse, revisions: Revisions, tmp_path: Path
) -> None:
    engine = warehouse.engine
    change(engine, "INSERT INTO ignored_users (name) VALUES ('admin@example.com')")
    revisions.put(1, alias("x", "admin@example.com"), event("came", "x"), alias("x", "y"))
    request_erasure(engine, [digest("admin@example.com")])
    lake = Lake(tmp_path / "empty")
    lake.prepare()
    erase_people(warehouse, lake, numeric_apart=False, most_identities=10)
    assert one(engine, "SELECT COUNT(*) FROM ignored_users") == 0
    assert "admin" not in str(rows(engine, "SELECT * FROM map_state"))
    assert not is_rule_pending(engine, numeric_apart=False)
    realias(engine, warehouse.generation())
    revisions.put(2, alias("z", "admin@example.com"), event("came", "z"))
    assert people(engine) == {"x": "x", "y": "x", "z": "z"}
    assert one(engine, "SELECT COUNT(*) FROM forgotten_identities") == 1


def test_realias_splits_numeric_identities_apart(warehouse: Warehouse, revisions: Revisions) -> None:
    engine = warehouse.engine
    revisions.put(1, event("came", "12"), alias("7", "x"), alias("x", "y"), alias("y", "12"))
    assert set(people(engine).values()) == {"7"}
    realias(engine, warehouse.generation(), numeric_apart=True)
    assert people(engine) == {"7": "7", "x": "7", "y": "12", "12": "12"}
    assert misplaced(engine) == 0
    revisions.put(2, alias("x", "3", T - 1))
    assert people(engine)["x"] == "3"
    realias(engine, warehouse.generation())
    assert set(people(engine).values()) == {"3"}
    assert misplaced(engine) == 0
