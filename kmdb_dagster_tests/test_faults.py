"""The harness of `python -m faults` sees what it looks for. It runs by itself, apart from the tests."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from faults import report
from faults.compare import Difference, content, difference
from faults.report import Line
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.models import Base
from kmdb_dagster_tests.buckets import alias, event
from kmdb_dagster_tests.warehouse.revisions import Revisions, change, emptied

LINES = {1: [event("came", "bob", plan="pro"), alias("bob", "7")], 2: [event("went", "anna"), b"nonsense\n"]}


def put(warehouse: Warehouse, folder: Path, *order: int) -> None:
    emptied(warehouse.engine)
    revisions = Revisions(Warehouse(warehouse.engine.url), folder)
    for revision in order:
        revisions.put(revision, *LINES[revision])
    revisions.warehouse.close()


def test_lost_rows_and_rows_too_many_are_counted_in_every_table_and_ids_are_not(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    engine: Engine = warehouse.engine
    put(warehouse, tmp_path, 1, 2)
    expected = content(engine)
    assert expected.keys() == Base.metadata.tables.keys()
    put(warehouse, tmp_path, 2, 1)
    assert difference(expected, content(engine)) == Difference(0, 0, ())
    change(engine, "DELETE FROM events WHERE id >> 40 = 2", "INSERT INTO properties SELECT id + 1, t, `key`, value, "
        "user_id, event_id, identity_id FROM properties", "UPDATE events SET user_id = identity_id")  # fmt: skip
    found = difference(expected, content(engine))
    assert (found.lost, found.twice) == (2, 2)
    assert set(found.tables) == {"events", "properties"}


def test_the_page_gets_the_lines_of_a_run_in_place_of_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- MySQL: written by python -m faults -->\n<!-- MySQL: end -->\nz\n")
    monkeypatch.setattr(report, "PAGE", page)
    report.write("MySQL 9.0.0", [Line("one", 1), Line("other", 2, 1, lost=3)])
    report.write("MySQL 9.0.1", [Line("one", 10, 9)])
    written = page.read_text()
    assert written.startswith("a\n<!-- MySQL")
    assert written.endswith("end -->\nz\n")
    assert "**MySQL 9.0.1**" in written
    assert "| one | 10 | 9 | 1 | 0 | 0 | 0 |\n| other | 2 | 1 | 1 | 3 | 0 | 0 |\n| together | 12 |" in written
