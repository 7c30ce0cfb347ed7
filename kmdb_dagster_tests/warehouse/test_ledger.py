"""The ledger of revisions."""

from sqlalchemy import Engine

from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.ledger.ledger import Status
from testing.buckets import T, alias, event, property_set
from testing.revisions import Revisions, change, content, etag_of, one, rows

LINES = [event("came", plan="pro"), property_set(sex="f", t=T + 9), alias("a", "b"), b"\n", b"nonsense\n"]
BYTES = sum(map(len, LINES))


def test_the_ledger_records_the_counts_of_an_imported_revision(engine: Engine, revisions: Revisions) -> None:
    entry = revisions.put(7, *LINES)
    columns = ", ".join(f"`{name}`" for name in entry._fields)
    assert rows(engine, f"SELECT {columns} FROM revisions") == [tuple(entry)]  # noqa: S608 - ours
    assert entry[:9] == (5, 3, 0, 1, 1, 1, 1, 2, 1)
    assert (entry.bytes, entry.etag) == (BYTES, etag_of(LINES))
    assert one(engine, "SELECT ABS(TIMESTAMPDIFF(SECOND, imported_at, UTC_TIMESTAMP())) FROM revisions") < 60


def test_a_failure_keeps_the_counts_of_the_earlier_import(engine: Engine, revisions: Revisions) -> None:
    revisions.put(7, *LINES)
    before, entry = content(engine), rows(engine, "SELECT `lines`, t_min, etag, imported_at FROM revisions")
    ledger.record_failure(engine, 7, "events and properties: no")
    assert content(engine) | {"ledger": None} == before | {"ledger": None}
    assert rows(engine, "SELECT `lines`, t_min, etag, imported_at FROM revisions") == entry
    assert ledger.statuses(engine) == {7: Status(7, etag_of(LINES), imported=True, failed=True, bytes=BYTES)}


def test_a_revision_that_only_failed_is_not_imported(engine: Engine) -> None:
    ledger.record_failure(engine, 7, "parsed_events: no")
    ledger.record_failure(engine, 7, "parsed_events: still no")
    assert ledger.statuses(engine) == {7: Status(7, None, imported=False, failed=True)}
    assert ledger.failures(engine) == [(7, "parsed_events: still no")]
    assert ledger.totals(engine)[:3] == (0, 0, 1)


def test_an_import_clears_the_error_of_the_ledger(engine: Engine, revisions: Revisions) -> None:
    ledger.record_failure(engine, 7, "no")
    revisions.put(7, *LINES)
    assert ledger.failures(engine) == []
    assert ledger.statuses(engine) == {7: Status(7, etag_of(LINES), imported=True, failed=False, bytes=BYTES)}
    assert one(engine, "SELECT failed_at FROM revisions") is None


def test_failures_are_listed_ascending_and_up_to_a_limit(engine: Engine) -> None:
    for revision in (30, 4, 200):
        ledger.record_failure(engine, revision, f"no {revision}")
    assert ledger.failures(engine, most=2) == [(4, "no 4"), (30, "no 30")]


def test_the_totals_of_the_ledger_are_sums(engine: Engine, revisions: Revisions) -> None:
    revisions.put(1, *LINES)
    revisions.put(2, *LINES, event("came", t=T + 100))
    revisions.put(3)
    change(engine, "UPDATE revisions SET etag = NULL WHERE revision = 3")
    ledger.record_failure(engine, 4, "no")
    totals = ledger.totals(engine)
    assert totals[:3] == (2, 1, 1)
    assert totals[3:11] == (11, 7, 0, 2, 2, 3, 4, 2)
    assert (totals.t_min, totals.t_max) == rows(engine, "SELECT MIN(t), MAX(t) FROM events")[0]


def test_the_totals_of_an_empty_ledger_are_zero(engine: Engine) -> None:
    assert ledger.totals(engine) == (*[0] * 11, None, None)


def test_revisions_whose_lines_do_not_add_up_are_found(engine: Engine, revisions: Revisions) -> None:
    for revision in (1, 2, 3):
        revisions.put(revision, *LINES)
    assert ledger.unbalanced(engine) == []
    change(engine, "UPDATE revisions SET imported = imported - 1 WHERE revision IN (2, 3)")
    assert ledger.unbalanced(engine) == [2, 3]
    assert ledger.unbalanced(engine, [1, 3, 9]) == [3]
    assert ledger.unbalanced(engine, []) == []


def test_a_revision_that_is_not_imported_has_no_lines_to_add_up(engine: Engine) -> None:
    ledger.record_failure(engine, 7, "no")
    change(engine, "UPDATE revisions SET `lines` = 5")
    assert ledger.unbalanced(engine) == []
