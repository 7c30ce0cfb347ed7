"""The harness of `python -m faults` detects what it looks for. The faults themselves are not run here."""

import base64
import random
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine

from faults import report
from faults.__main__ import main
from faults.compare import NOT_COMPARED, Difference, content, difference
from faults.gateway import Answer
from faults.imports import Outcome
from faults.in_lost_commits import CommitsLost, committed
from faults.in_the_files import damaged
from faults.report import Line
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.schema.tables import Base
from testing.buckets import alias, event
from testing.databases import empty_tables
from testing.revisions import Revisions, change

LINES = {1: [event("came", "bob", plan="pro"), alias("bob", "7")], 2: [event("went", "anna"), b"nonsense\n"]}


def put(warehouse: Warehouse, folder: Path, *order: int) -> None:
    empty_tables(warehouse.engine)
    revisions = Revisions(Warehouse(warehouse.engine.url), folder)
    for revision in order:
        revisions.put(revision, *LINES[revision])
    revisions.warehouse.close()


def test_missing_and_extra_rows_are_counted_in_every_table_regardless_of_ids(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    engine: Engine = warehouse.engine
    put(warehouse, tmp_path, 1, 2)
    expected = content(engine)
    assert expected.keys() == Base.metadata.tables.keys() - NOT_COMPARED
    put(warehouse, tmp_path, 2, 1)
    assert difference(expected, content(engine)) == Difference(0, 0, ())
    change(engine, "DELETE FROM events WHERE id >> 40 = 2", "INSERT INTO properties SELECT id + 1, t, `key`, value, "
        "user_id, event_id, identity_id FROM properties", "UPDATE events SET user_id = identity_id")  # fmt: skip
    found = difference(expected, content(engine))
    assert (found.lost, found.twice) == (2, 2)
    assert set(found.tables) == {"events", "properties"}


def test_a_report_replaces_the_older_lines_of_the_same_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_missing_rows_are_lost_commits_and_ids_with_another_name_are_reused(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    put(warehouse, tmp_path, 1, 2)
    site: Any = SimpleNamespace(warehouse=warehouse)
    fault, before = CommitsLost(site, random.Random(1)), committed(site)
    fault.count_lost(before)
    assert not fault.happened(Outcome(success=True, words=""))
    change(warehouse.engine, "DELETE FROM revisions WHERE revision = 2", "DELETE FROM `keys` WHERE string = 'went'",
        "UPDATE users SET name = 'eve', digest = UNHEX(SHA2('eve', 256)) WHERE name = 'anna'")  # fmt: skip
    fault.count_lost(before)
    assert fault.happened(Outcome(success=True, words=""))
    assert fault.remark() == "3 rows lost, 1 ids reused"


def test_a_damaged_answer_differs_in_one_byte_under_a_correct_checksum() -> None:
    whole = b'{"_n":"came"}\n'
    answer = damaged(Answer(200, {}, whole), whole, 3, with_checksum=True)
    assert sum(one != other for one, other in zip(answer.body, whole, strict=True)) == 1
    assert base64.b64decode(answer.headers["x-amz-checksum-crc32"]) == zlib.crc32(whole).to_bytes(4)
    rest = Answer(206, {}, whole[5:])
    assert damaged(rest, whole, 3, with_checksum=True) == rest


def test_the_short_form_plays_some_of_the_listed_faults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def listed(*options: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["faults", "--list", *options])
        assert main() == 0
        return capsys.readouterr().out.splitlines()

    everything = listed()
    assert len(everything) == len(set(everything))
    assert set(listed("--short")) < set(everything)
    assert listed("--only", "commits lost") == [name for name in everything if "commits lost" in name]
