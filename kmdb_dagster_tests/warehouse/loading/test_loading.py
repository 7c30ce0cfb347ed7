"""The facts of a revision in the warehouse."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.interning.lookup import UnresolvedError
from kmdb_dagster.warehouse.schema.row_ids import MAX_LINE, MAX_ORDINAL, row_id
from testing.buckets import T, alias, event, line, property_set
from testing.revisions import (
    BATCH,
    SELECT_EVENTS,
    SELECT_PROPERTIES,
    Revisions,
    change,
    content,
    one,
    record,
    rows,
)

BOB = "bob@example.com"
AT = datetime(2014, 4, 15, 15, 57, 33)  # noqa: DTZ001 - as the server has it
VALUES = ["", " ", "0", "ä", "\U0001f600", "a\nb", "\\", "'", "x" * 1_000_000, "\U0001f600" * 250_000, "NULL"]


def test_an_event_and_its_properties_are_rows(engine: Engine, revisions: Revisions) -> None:
    revisions.load(5, b"\n", event("signed up", plan="pro", price="15.95"))
    first = row_id(5, 2)
    assert rows(engine, SELECT_EVENTS) == [(first, AT, "signed up", BOB, BOB)]
    assert rows(engine, SELECT_PROPERTIES) == [
        (first + 1, AT, "plan", "pro", first, BOB, BOB),
        (first + 2, AT, "price", "15.95", first, BOB, BOB),
    ]


def test_properties_set_on_a_person_have_no_event(engine: Engine, revisions: Revisions) -> None:
    revisions.load(5, property_set(plan="pro"))
    assert rows(engine, SELECT_PROPERTIES) == [(row_id(5, 1, 1), AT, "plan", "pro", None, BOB, BOB)]
    assert rows(engine, SELECT_EVENTS) == []


def test_row_ids_are_the_position_in_the_export() -> None:
    assert row_id(3, 7) == 3 << 40 | 7 << 16
    assert row_id(3, 7, 2) == (3 << 40 | 7 << 16) + 2
    assert row_id(3, MAX_LINE, MAX_ORDINAL) == row_id(4, 0) - 1
    assert row_id(2**23 - 1, MAX_LINE, MAX_ORDINAL) == 2**63 - 1


def test_the_ids_of_the_highest_revision_fit(engine: Engine, revisions: Revisions) -> None:
    revisions.put(2**23 - 1, event("came", plan="pro"), alias("a", "b"))
    assert one(engine, "SELECT id FROM properties") == row_id(2**23 - 1, 1, 1)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: ascii(value)[:20])
def test_a_value_is_stored_as_written(engine: Engine, revisions: Revisions, value: str) -> None:
    revisions.load(1, event("came", value=value))
    assert rows(engine, "SELECT value FROM properties") == [(value,)]


@pytest.mark.parametrize(
    ("written", "stored"),
    [(b"null", None), (b'""', ""), (b"15.950", "15.950"), (b"true", "true"), (b'[1, {"a": null}]', '[1,{"a":null}]')],
)
def test_a_value_that_is_not_a_string_is_stored_as_its_json_text(
    engine: Engine, revisions: Revisions, written: bytes, stored: str | None
) -> None:
    revisions.load(1, b'{"v":' + written + b',"_n":"came","_p":"bob","_t":1}\n')
    assert rows(engine, "SELECT value FROM properties") == [(stored,)]


@pytest.mark.parametrize("t", [1, T, 2**31 - 1, 2**31, 253402300799])
def test_a_time_is_stored_in_utc_to_the_second(engine: Engine, revisions: Revisions, t: int) -> None:
    entry = revisions.load(1, event("came", t=t))
    expected = datetime.fromtimestamp(t, UTC).replace(tzinfo=None)
    assert one(engine, "SELECT t FROM events") == expected == entry.t_min == entry.t_max


def test_names_with_a_percent_sign_or_a_colon_are_stored(engine: Engine, revisions: Revisions) -> None:
    revisions.load(1, line({"%s": "%(x)s :y", "_n": "100% :off", "_p": ":name", "_t": T}))
    assert one(engine, "SELECT value FROM properties") == "%(x)s :y"
    assert one(engine, "SELECT name FROM users") == ":name"


def test_rejected_lines_are_kept_byte_for_byte(engine: Engine, revisions: Revisions) -> None:
    raw = [b"\xff\x00'\"\\%s \r", b'{"_n":"ev"', "ä\u2028".encode(), b"x" * 100_000]
    revisions.load(1, *(piece + b"\n" for piece in raw))
    assert rows(engine, "SELECT line, raw FROM rejected_lines ORDER BY line") == list(enumerate(raw, start=1))
    assert {reason for (reason,) in rows(engine, "SELECT DISTINCT reason FROM rejected_lines")} == {"invalid_json"}


def test_loading_again_gives_the_same_rows(engine: Engine, revisions: Revisions) -> None:
    lines = [event("came", plan="pro"), b"nonsense\n", property_set(sex="f"), b"\n", event("went", t=T + 1)]
    entry = revisions.load(1, *lines)
    before = content(engine)
    assert revisions.load(1, *lines) == entry
    assert content(engine) == before


def test_new_content_replaces_the_old_content(engine: Engine, revisions: Revisions) -> None:
    for revision in (1, 2, 3):
        revisions.load(revision, event("old", plan="free", t=T - revision), b"nonsense\n")
    before = content(engine)
    revisions.load(2, event("new", "anna"))
    after = content(engine)
    for table in ("events", "properties", "rejected"):
        others = [row for row in before[table] if row[0] not in {2, row_id(2, 1), row_id(2, 1, 1)}]
        assert [row for row in after[table] if row[0] != row_id(2, 1)] == others
    assert [row[2] for row in after["events"]] == ["old", "new", "old"]


def test_an_emptied_revision_leaves_no_rows(engine: Engine, revisions: Revisions) -> None:
    revisions.load(1, event("came", plan="pro"), b"nonsense\n")
    entry = revisions.load(1)
    assert (entry.lines, entry.t_min, entry.t_max, entry.adds_up) == (0, None, None, True)
    assert not any(rows(engine, f"SELECT 1 FROM {table}") for table in ("events", "properties", "rejected_lines"))  # noqa: S608


def test_more_records_than_a_batch_are_loaded(engine: Engine, revisions: Revisions) -> None:
    lines = [event("came", f"user{number % 7}", t=T + number, n=str(number)) for number in range(BATCH * 2 + 1)]
    entry = revisions.load(1, *lines)
    assert (entry.events, entry.properties, entry.lines) == (201, 201, 201)
    assert one(engine, "SELECT COUNT(DISTINCT id) FROM events") == 201
    assert (entry.t_min, entry.t_max) == rows(engine, "SELECT MIN(t), MAX(t) FROM events")[0]


def test_a_line_with_two_records_across_batches_counts_once(revisions: Revisions) -> None:
    both = line({"_n": "came", "_p": "a", "_p2": "b", "_t": T})
    lines = [event("came")] * (BATCH - 1) + [both]
    revisions.resolve(1, *lines)
    entry = revisions.load(1, *lines)
    assert (entry.lines, entry.imported, entry.events, entry.aliases) == (BATCH, BATCH, BATCH, 1)
    assert entry.adds_up


def test_a_revision_with_more_lines_than_ids_is_refused(engine: Engine, revisions: Revisions) -> None:
    parsed = revisions.parsed(1)
    revisions.resolve_parsed(1, parsed)
    last = record(line=MAX_LINE + 1, kind="blank")
    parsed.batches = lambda _size: iter([last])  # type: ignore[method-assign, assignment, misc]  # sixteen million lines take their time
    with pytest.raises(PermanentError, match=r"Revision 1 has more than 16,777,215 lines"):
        revisions.load_parsed(1, parsed)
    assert one(engine, "SELECT COUNT(*) FROM revisions") == 0


def test_aliases_that_are_not_resolved_are_not_counted(engine: Engine, revisions: Revisions) -> None:
    parsed = revisions.parsed(1, alias("a", "b"), alias("a", "c", T + 1))
    revisions.resolve_parsed(1, parsed)
    change(engine, "DELETE FROM aliases LIMIT 1")
    with pytest.raises(UnresolvedError, match=r"has 2 alias lines, and 1 of them are in `aliases`"):
        revisions.load_parsed(1, parsed)
    assert one(engine, "SELECT COUNT(*) FROM revisions") == 0


def test_an_identity_without_a_person_is_an_error_that_names_realias(engine: Engine, revisions: Revisions) -> None:
    revisions.load(1, event("came"))
    change(engine, "DELETE FROM user_map")
    with pytest.raises(PermanentError, match=r"user_map lacks 1 identities that are in `users`. Run `kmdb realias`"):
        revisions.load(1, event("came"))
