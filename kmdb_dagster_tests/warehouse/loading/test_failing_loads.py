"""A failed load keeps the previous rows."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.lake import ParsedFile
from kmdb_dagster.warehouse.ledger import ledger
from testing.buckets import event
from testing.revisions import Revisions, content, one, record, rows

OLD = [event("old", plan="free"), b"nonsense\n"]
NEW = [event(f"new{number}", f"user{number}", plan="pro") for number in range(5)]


class Interrupted:
    """A file during which something happens, after its first line."""

    def __init__(self, parsed: ParsedFile, happening: Any) -> None:
        self._parsed, self._happening = parsed, happening
        self.revision, self.etag, self.size, self.weight = parsed.revision, parsed.etag, parsed.size, 0

    def batches(self, size: int, *, columns: list[str] | None = None) -> Iterator[Any]:
        """The lines one by one."""
        del size, columns
        for number, batch in enumerate(self._parsed.batches(1)):
            if number == 1:
                self._happening()
            yield batch


def resolved(revisions: Revisions, *lines: bytes) -> ParsedFile:
    """Revision 1 of these lines, resolved."""
    parsed = revisions.parsed(1, *lines)
    revisions.resolve_parsed(1, parsed)
    return parsed


def kill_others(engine: Engine) -> None:
    """Kill every connection to this database but the one that does it."""
    with engine.connect() as connection:
        mine = "SELECT ID FROM INFORMATION_SCHEMA.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
        for number in connection.execute(text(mine)).scalars().all():
            connection.exec_driver_sql(f"KILL CONNECTION {number}")


def test_a_load_whose_connection_is_killed_is_transient_and_changes_nothing(
    engine: Engine, revisions: Revisions
) -> None:
    revisions.load(1, *OLD)
    before, status = content(engine), rows(engine, "SELECT * FROM revisions")
    held: Any = Interrupted(resolved(revisions, *NEW), lambda: kill_others(engine))
    with pytest.raises(TransientError, match=r"the connection (was|is) (lost|gone|killed)"):
        revisions.load_parsed(1, held)
    for part in ("events", "properties", "rejected"):
        assert content(engine)[part] == before[part]
    assert rows(engine, "SELECT * FROM revisions") == status
    assert revisions.load(1, *NEW).events == 5


def test_a_load_with_a_defect_changes_nothing(engine: Engine, revisions: Revisions) -> None:
    revisions.load(1, *OLD)
    before = content(engine)
    held: Any = Interrupted(resolved(revisions, *NEW), lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        revisions.load_parsed(1, held)
    for part in ("events", "properties", "rejected"):
        assert content(engine)[part] == before[part]
    assert ledger.statuses(engine)[1].imported


def test_a_first_load_that_fails_leaves_no_row_in_the_ledger(engine: Engine, revisions: Revisions) -> None:
    held: Any = Interrupted(resolved(revisions, *NEW), lambda: kill_others(engine))
    with pytest.raises(TransientError):
        revisions.load_parsed(1, held)
    assert one(engine, "SELECT COUNT(*) FROM revisions") == 0
    assert one(engine, "SELECT COUNT(*) FROM events") == 0


def test_a_line_that_is_too_large_for_the_server_is_a_permanent_error(engine: Engine, revisions: Revisions) -> None:
    most = one(engine, "SELECT @@max_allowed_packet")
    line = b"\\" * (most // 2 + 1) + b"\n"
    assert len(line) < most
    parsed = resolved(revisions)
    refused = record(line=1, kind="rejected", reason="invalid_json", raw=line)
    parsed.batches = lambda _size: iter([refused])  # type: ignore[method-assign, assignment, misc]  # longer than the reader takes
    with pytest.raises(PermanentError, match=r"max_allowed_packet is [0-9,]+: raise it to 64M"):
        revisions.load_parsed(1, parsed)
    assert one(engine, "SELECT COUNT(*) FROM revisions") == 0
