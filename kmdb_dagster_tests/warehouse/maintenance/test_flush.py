"""Flush: emptying the warehouse, also during imports."""

from datetime import datetime
from threading import Thread

import pytest
from sqlalchemy import Engine

from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.aliases import AliasFile, AliasLine, replace_aliases
from kmdb_dagster.warehouse.identity.user_map import move_facts
from kmdb_dagster.warehouse.interning.lookup import UnresolvedError
from kmdb_dagster.warehouse.maintenance import flush as module
from kmdb_dagster.warehouse.maintenance.flush import EMPTIED, flush
from kmdb_dagster.warehouse.schema.row_ids import row_id
from kmdb_dagster.warehouse.schema.tables import Base
from testing.buckets import alias, event
from testing.revisions import Revisions, change, content, locks_waited_for, one, wait_until

FILTERS = {
    "ignored_users": "name",
    "whitelisted_events": "name",
    "blacklisted_properties": "name",
    "placeholder_identities": "name",
    "forgotten_identities": "digest",
}
LINES = (event("came", "bob", plan="pro"), alias("bob", "anna"), b"nonsense\n")


def counts(engine: Engine, *tables: str) -> set[int]:
    return {one(engine, f"SELECT COUNT(*) FROM `{table}`") for table in tables}  # noqa: S608 - ours


def test_flush_empties_all_tables_except_the_filters(engine: Engine, revisions: Revisions) -> None:
    revisions.resolve(1, *LINES)
    revisions.load(1, *LINES)
    change(engine, *(f"INSERT INTO {table} ({name}) VALUES ('x')" for table, name in FILTERS.items()))  # noqa: S608 - ours
    change(
        engine,
        "INSERT INTO pending_spans (table_name) VALUES ('events')",
        "INSERT INTO pending_moves (identity_id, from_user_id) VALUES (1, 2)",
        "INSERT INTO changed_revisions (revision, seen_at) VALUES (1, NOW())",
    )
    assert 0 not in counts(engine, *EMPTIED)
    flush(engine)
    assert counts(engine, *EMPTIED) == {0}
    assert counts(engine, *FILTERS) == {1}


def test_flush_lists_every_table() -> None:
    kept = {"warehouse_state", "columnar_copy", "map_state", "bindings", "data_folders", "searched_folders"}
    assert set(Base.metadata.tables) == {*EMPTIED, *FILTERS, *kept}


def test_revisions_are_imported_again_after_a_flush(engine: Engine, revisions: Revisions) -> None:
    revisions.put(1, *LINES)
    before = content(engine)
    flush(engine)
    revisions.put(1, *LINES)
    assert content(engine) == before


def test_a_revision_resolved_before_a_flush_is_not_loaded_until_it_is_resolved_again(
    warehouse: Warehouse, revisions: Revisions
) -> None:
    parsed = revisions.parsed(1, *LINES)
    revisions.resolve_parsed(1, parsed)
    flush(warehouse.engine)
    with pytest.raises(UnresolvedError, match="Revision 1 is not resolved from the file that is parsed"):
        revisions.load_parsed(1, parsed)
    assert counts(warehouse.engine, "events", "revisions", "rejected_lines") == {0}
    assert revisions.load(1, *LINES).events == 1


def test_alias_lines_resolved_before_a_flush_are_not_stored(warehouse: Warehouse, revisions: Revisions) -> None:
    revisions.put(1, *LINES)
    flush(warehouse.engine)
    line = AliasLine(row_id(1, 1), datetime(2014, 4, 15), "bob", "anna")  # noqa: DTZ001 - as the server has it
    with pytest.raises(UnresolvedError, match="The database lacks 2 of 2 names"):
        replace_aliases(warehouse.engine, [AliasFile(1, "an-etag", [line])])
    assert counts(warehouse.engine, "aliases", "resolved_revisions") == {0}


def test_flush_waits_for_running_loads(engine: Engine, revisions: Revisions) -> None:
    parsed = revisions.parsed(1, event("came"))
    revisions.resolve_parsed(1, parsed)
    flushing = Thread(target=flush, args=(engine,))
    batches = parsed.batches

    def wait_in_the_middle(size: int) -> object:
        flushing.start()
        wait_until(lambda: locks_waited_for(engine))
        return batches(size)

    parsed.batches = wait_in_the_middle  # type: ignore[method-assign, assignment]  # the test holds the load here
    assert revisions.load_parsed(1, parsed).events == 1
    flushing.join()
    assert counts(engine, *EMPTIED) == {0}


def test_an_interrupted_flush_closes_the_warehouse_until_it_is_run_again(
    warehouse: Warehouse, revisions: Revisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    revisions.put(1, *LINES)
    with monkeypatch.context() as patch:
        patch.setattr(module, "EMPTIED", ("events", "keys", "no such table"))
        with pytest.raises(PermanentError):
            flush(warehouse.engine)
    with pytest.raises(TransientError, match="run `kmdb flush` to its end"):
        revisions.put(2, *LINES)
    with pytest.raises(TransientError, match="run `kmdb flush` to its end"):
        revisions.load_parsed(2, revisions.parsed(2, *LINES))
    flush(warehouse.engine)
    assert revisions.put(2, *LINES).events == 1
    assert move_facts(warehouse.engine) == 0


def test_concurrent_flushes_run_one_after_another(engine: Engine, revisions: Revisions) -> None:
    revisions.put(1, *LINES)
    threads = [Thread(target=flush, args=(engine,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(engine, *EMPTIED) == {0}
    assert revisions.put(1, *LINES).events == 1
