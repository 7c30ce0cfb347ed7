"""Manual edits are found by a check, and repaired by the commands that it names."""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

import pytest
from sqlalchemy import Engine

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.checks import misplaced_facts
from kmdb_dagster.warehouse.identity.rebuild import realias
from kmdb_dagster.warehouse.ledger import ledger, reconciliation
from kmdb_dagster.warehouse.ledger.consistency import MAX_COMMANDS, find_inconsistencies, import_commands
from kmdb_dagster.warehouse.maintenance.retention import Drop, apply_drop
from kmdb_dagster.warehouse.schema.migrations import migrate
from testing.buckets import T, alias, event, property_set
from testing.revisions import Revisions, change, content

DAY = 86400
LINES = {
    1: [event("came", "7", plan="pro"), event("came", "bob", T + 400 * DAY), alias("7", "bob"), b"nonsense\n"],
    2: [event("went", "anna", T + DAY, plan="free"), property_set("anna", T + 30 * DAY, sex="f"), alias("anna", "ann")],
    3: [
        event("came", "carl"),
        event("bought", "ann", T + 3 * DAY, price="9"),
        alias("carl", "x"),
        alias("x", "7"),
        b"{}\n",
    ],
    4: [event("came", "dora")],
}


class Edit(NamedTuple):
    """A hand edit, the check that finds it, and the commands that it names."""

    statements: Sequence[str]
    check: str
    repair: Sequence[str]


AGREE, BOOKKEEPING = "facts_agree_with_ledger", "bookkeeping_agrees"
MOVED = "UPDATE {table} SET t = t + INTERVAL 3 YEAR WHERE id >> 40 = 2"
STRAY = "INSERT INTO events SELECT (99 << 40) + id, t, n, user_id, identity_id FROM events WHERE id >> 40 = 1 LIMIT 1"
EDITS = {
    "a row of the ledger deleted": Edit(["DELETE FROM revisions WHERE revision = 2"], AGREE, ["import 2"]),
    "the whole ledger deleted": Edit(["DELETE FROM revisions"], AGREE, ["import 1..4"]),
    "the ledger deleted, and facts moved": Edit(
        ["DELETE FROM revisions", *(MOVED.format(table=table) for table in ("events", "properties"))],
        AGREE,
        ["import 1..4"],
    ),
    "spans emptied": Edit(["UPDATE revisions SET t_min = NULL, t_max = NULL"], AGREE, ["import 1..4"]),
    "a span narrowed": Edit(["UPDATE revisions SET t_max = t_min WHERE revision = 1"], AGREE, ["import 1"]),
    "a count changed": Edit(["UPDATE revisions SET events = 7 WHERE revision = 3"], AGREE, ["import 3"]),
    "an outcome changed": Edit(
        ["UPDATE revisions SET imported = 0 WHERE revision = 3"], "lines_accounted_for", ["import 3"]
    ),
    "facts moved in time": Edit([MOVED.format(table="properties")], AGREE, ["import 2"]),
    "facts deleted": Edit(["DELETE FROM events WHERE id >> 40 = 3"], AGREE, ["import 3"]),
    "facts of no revision": Edit([STRAY], AGREE, ["DELETE"]),
    "facts under another person": Edit(["UPDATE events SET user_id = 99"], "facts_under_their_person", ["realias"]),
    "identity_spans emptied": Edit(["DELETE FROM identity_spans"], BOOKKEEPING, ["realias"]),
    "identity_spans narrowed": Edit(["UPDATE identity_spans SET last_week = first_week"], BOOKKEEPING, ["realias"]),
    "resolved_revisions emptied": Edit(["DELETE FROM resolved_revisions"], BOOKKEEPING, ["import 1..3"]),
    "spans of aliases emptied": Edit(
        ["UPDATE resolved_revisions SET t_min = NULL, t_max = NULL"], BOOKKEEPING, ["import 1..3"]
    ),
    "aliases truncated": Edit(["TRUNCATE TABLE aliases"], BOOKKEEPING, ["import 1..3"]),
    "aliases deleted, with what was resolved": Edit(
        ["TRUNCATE TABLE aliases", "TRUNCATE TABLE resolved_revisions"], BOOKKEEPING, ["import 1..3"]
    ),
    "aliases truncated, and the map rebuilt": Edit(["TRUNCATE TABLE aliases", "realias"], BOOKKEEPING, ["import 1..3"]),
    "an alias deleted": Edit(["DELETE FROM aliases WHERE name1 = 'x'"], BOOKKEEPING, ["import 3"]),
    "aliases moved in time": Edit(
        ["UPDATE aliases SET t = t + INTERVAL 9 YEAR WHERE id >> 40 = 3"], BOOKKEEPING, ["import 3"]
    ),
    "an alias that no file has": Edit(
        ["INSERT INTO aliases SELECT id + (50 << 16), t, 'ann', '7', identity1_id, identity2_id FROM aliases LIMIT 1"],
        BOOKKEEPING,
        ["realias", "import 1"],
    ),
    "rejected_lines truncated": Edit(["TRUNCATE TABLE rejected_lines"], BOOKKEEPING, ["import 1", "import 3"]),
    "user_map truncated": Edit(["TRUNCATE TABLE user_map"], BOOKKEEPING, ["realias"]),
    "rows of user_map deleted": Edit(["DELETE FROM user_map WHERE identity_id % 2 = 0"], BOOKKEEPING, ["realias"]),
    "users deleted": Edit(["DELETE FROM users WHERE name IN ('7', 'anna')"], BOOKKEEPING, ["realias", "import 1..2"]),
    "users truncated": Edit(["DELETE FROM users"], BOOKKEEPING, ["realias", "import 1..4"]),
    "keys deleted": Edit(
        ["DELETE FROM `keys` WHERE string IN ('came', 'price')"], BOOKKEEPING, ["import 1", "import 3..4"]
    ),
    "the row of warehouse_state deleted": Edit(["DELETE FROM warehouse_state"], BOOKKEEPING, ["migrate"]),
    "the row of map_state deleted": Edit(["DELETE FROM map_state"], BOOKKEEPING, ["realias"]),
    "both rows deleted": Edit(
        ["DELETE FROM map_state", "DELETE FROM warehouse_state"], BOOKKEEPING, ["migrate", "realias"]
    ),
}


def failing(engine: Engine) -> Iterator[tuple[str, str]]:
    """The checks that fail, each with what it names to repair."""
    if wrong := reconciliation.reconcile_all(engine):
        yield AGREE, reconciliation.repair(wrong)
    if lost := ledger.unbalanced(engine):
        yield "lines_accounted_for", import_commands(lost)
    for finding in find_inconsistencies(engine):
        yield BOOKKEEPING, finding.repair
    if misplaced_facts(engine).rows:
        yield "facts_under_their_person", "`kmdb realias`"


def run(warehouse: Warehouse, revisions: Revisions, repair: str) -> Iterator[str]:
    """Do what a check names, as a new process does it. Gives what was done."""
    for sql, command, first, last in re.findall(r"(DELETE [^;]*);|`kmdb (\w+)(?: (\d+)(?:\.\.(\d+))?)?`", repair):
        if sql:
            change(warehouse.engine, sql)
        elif command == "migrate":
            migrate(warehouse.engine)
        elif command == "realias":
            realias(warehouse.engine, warehouse.generation())
        else:
            for revision in range(int(first), int(last or first) + 1):
                # Rows of a revision that the bucket has not: the operator deletes them.
                if revision in LINES:
                    revisions.put(revision, *LINES[revision])
        yield f"{command} {first}..{last}".removesuffix("..").strip() if command else "DELETE"


@pytest.mark.parametrize("name", EDITS)
def test_a_manual_edit_is_found_and_repaired_by_the_commands_that_the_check_names(
    warehouse: Warehouse, revisions: Revisions, name: str
) -> None:
    engine, edit = warehouse.engine, EDITS[name]
    for revision, lines in LINES.items():
        revisions.put(revision, *lines)
    before = content(engine)
    assert list(failing(engine)) == []
    for statement in edit.statements:
        if statement == "realias":
            realias(engine, warehouse.generation())
        else:
            change(engine, statement)
    said = list(failing(engine))
    assert edit.check in {check for check, _ in said}
    done: list[str] = []
    opened = Warehouse(engine.url)
    for _ in range(3):
        for _, repair in said[:1]:
            done += run(opened, Revisions(opened, revisions.folder), repair)
        said = list(failing(engine))
        if not said:
            break
    assert said == []
    assert content(engine) == before
    assert [each for each in edit.repair if each not in done] == []
    opened.close()


@pytest.mark.parametrize(("table", "command"), [("warehouse_state", "kmdb migrate"), ("map_state", "kmdb realias")])
def test_an_import_without_a_state_row_names_the_command_that_restores_it(
    warehouse: Warehouse, revisions: Revisions, table: str, command: str
) -> None:
    revisions.put(1, *LINES[1])
    change(warehouse.engine, f"DELETE FROM {table}")  # noqa: S608 - ours
    for work in (revisions.put, revisions.load):
        with pytest.raises(PermanentError, match=f"`{table}` has lost its row. Run `{command}`"):
            work(2, *LINES[2])


def test_an_import_with_lost_users_names_realias(warehouse: Warehouse, revisions: Revisions) -> None:
    revisions.put(1, *LINES[1])
    change(warehouse.engine, "DELETE FROM users WHERE name = '7'")
    with pytest.raises(PermanentError, match="Run `kmdb realias`"):
        revisions.put(2, alias("bob", "12"))
    realias(warehouse.engine, warehouse.generation())
    revisions.put(2, alias("bob", "12"))


def test_realias_moves_all_facts_although_spans_were_lost(warehouse: Warehouse, revisions: Revisions) -> None:
    revisions.put(1, *LINES[1])
    change(warehouse.engine, "DELETE FROM identity_spans")
    revisions.put(2, alias("bob", "3"))
    assert misplaced_facts(warehouse.engine).rows
    realias(warehouse.engine, warehouse.generation())
    revisions.put(3, alias("bob", "2"))
    assert not misplaced_facts(warehouse.engine).rows


def test_a_resolved_revision_that_is_not_loaded_is_consistent(warehouse: Warehouse, revisions: Revisions) -> None:
    revisions.put(1, *LINES[1])
    for again in (1, 2):
        revisions.resolve(again, alias("7", "carl"), alias("7", "dora", T + 900 * DAY), event("came", "7"))
        assert find_inconsistencies(warehouse.engine) == []
        revisions.load(again, alias("7", "carl"), alias("7", "dora", T + 900 * DAY), event("came", "7"))
        assert find_inconsistencies(warehouse.engine) == []


def test_revisions_resolved_without_an_etag_are_checked(warehouse: Warehouse, revisions: Revisions) -> None:
    for revision, lines in LINES.items():
        revisions.put(revision, *lines)
    change(
        warehouse.engine,
        "UPDATE resolved_revisions SET etag = NULL",
        "DELETE FROM resolved_revisions WHERE t_min IS NULL",
    )
    assert find_inconsistencies(warehouse.engine) == []
    change(warehouse.engine, "DELETE FROM aliases WHERE name1 = 'x'")
    assert [finding.revisions for finding in find_inconsistencies(warehouse.engine)] == [(3,)]


def test_rows_without_a_revision_are_reported_with_the_statement_that_deletes_them(
    warehouse: Warehouse, revisions: Revisions
) -> None:
    revisions.put(1, *LINES[1])
    change(warehouse.engine, "UPDATE events SET id = id & 0xFFFFFFFFFF")
    wrong = reconciliation.reconcile_all(warehouse.engine)
    assert [found.revision for found in wrong] == [0, 1]
    assert reconciliation.repair(wrong[:1]).startswith("DELETE FROM events WHERE id BETWEEN 0 AND 1099511627775;")
    assert reconciliation.repair(wrong).startswith(
        "`kmdb import 1` If the bucket does not have the revision: DELETE FROM"
    )
    assert reconciliation.repair(wrong[1:]) == "`kmdb import 1`"


def test_no_fact_is_dropped_if_the_day_of_retention_cannot_be_recorded(
    warehouse: Warehouse, revisions: Revisions
) -> None:
    revisions.put(1, *LINES[1])
    change(warehouse.engine, "DELETE FROM warehouse_state")
    with pytest.raises(PermanentError, match="Run `kmdb migrate`"):
        apply_drop(warehouse.engine, Drop(date(2030, 1, 1), ()))


def test_very_many_ranges_are_repaired_by_one_command() -> None:
    assert import_commands([3, 5, 6]) == "`kmdb import 3`, `kmdb import 5..6`"
    assert import_commands(range(1, 2 * MAX_COMMANDS + 3, 2)) == f"`kmdb import 1..{2 * MAX_COMMANDS + 1}`"
    assert import_commands([]) == ""
