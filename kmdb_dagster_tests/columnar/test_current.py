"""Facts are read from the copy if it is current or soon is, and else from the tables, which an answer says."""

import shutil
from collections.abc import Collection
from unittest.mock import Mock

import pyarrow as pa
import pytest
from sqlalchemy import Connection

from kmdb_dagster.columnar import current
from kmdb_dagster.columnar import refresh as refreshing
from kmdb_dagster.columnar.current import Place, ReadFrom, choose_place
from kmdb_dagster.questions.grammar import parse
from kmdb_dagster.warehouse.connection.server import named_lock
from kmdb_dagster.warehouse.ledger.changed_days import REFRESH_LOCK, delete_changed_days
from kmdb_dagster.warehouse.maintenance.flush import flush
from kmdb_dagster_tests.columnar.copies import Copy
from testing.buckets import T, event

TREND = "trend --since 2014-01-01 --until 2015-01-01"


def place_of(copy: Copy, wanted: ReadFrom = ReadFrom.AUTO) -> Place:
    return choose_place(copy.engine, copy.lake, copy.folder, wanted)


@pytest.fixture
def filled(copy: Copy) -> Copy:
    """A copy that lacks the second of two revisions."""
    copy.revisions.put(1, event("came", "bob", T))
    copy.refresh()
    copy.revisions.put(2, event("came", "anna", T))
    return copy


def test_the_tables_are_read_while_there_is_no_copy(copy: Copy) -> None:
    copy.revisions.put(1, event("came", "bob", T))
    assert str(place_of(copy)) == "Read from the tables, as of revision 1."
    assert not copy.files()


def test_a_copy_that_lacks_little_is_brought_up_to_date_first(filled: Copy) -> None:
    place = place_of(filled)
    assert str(place) == "Read from the columnar copy, as of revision 2."
    assert parse(TREND).ask(filled.engine, place=place).number == 2


def test_the_tables_are_read_if_a_refresh_would_take_long(filled: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "MAX_ROWS_REFRESHED", 1)
    place = place_of(filled)
    assert str(place) == (
        "Read from the tables, as of revision 2: the columnar copy is not current, run `kmdb columnar refresh`."
    )
    assert parse(TREND).ask(filled.engine, place=place).number == 2
    assert filled.manifest.state.newest_revision == 1
    assert str(place_of(filled, ReadFrom.COLUMNAR)) == "Read from the columnar copy, as of revision 2."


def test_the_tables_are_read_while_another_process_refreshes(filled: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "LOCK_TIMEOUT_SECONDS", 0)
    with named_lock(filled.engine, REFRESH_LOCK, 0):
        assert "could not be brought up to date" in str(place_of(filled))


@pytest.mark.parametrize("error", [pa.ArrowInvalid("damaged"), PermissionError("denied")])
def test_the_tables_are_read_while_the_copy_cannot_be_read(
    filled: Copy, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(current, "refresh", Mock(side_effect=error))
    assert "could not be brought up to date" in str(place_of(filled))


def test_the_copy_before_a_refresh_is_never_current(filled: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = []

    def delete(connection: Connection, ids: Collection[int]) -> None:
        delete_changed_days(connection, ids)
        recorded.append(connection.exec_driver_sql("SELECT HEX(manifest_id) FROM columnar_copy").scalar_one().lower())

    monkeypatch.setattr(refreshing, "delete_changed_days", delete)
    filled.refresh()
    assert recorded == [filled.manifest.id]


def test_the_tables_are_read_on_request(filled: Copy) -> None:
    filled.refresh()
    assert place_of(filled, ReadFrom.TABLES).copy is None


def test_a_copy_of_flushed_tables_is_not_read(filled: Copy) -> None:
    flush(filled.engine)
    filled.revisions.put(1, event("came", "zoe", T))
    place = place_of(filled)
    assert place.copy is None
    assert "`kmdb columnar rebuild`" in place.reason


def test_an_answer_is_of_the_generation_that_it_began_with(filled: Copy) -> None:
    filled.refresh()
    place = place_of(filled)
    filled.revisions.put(3, event("came", "zoe", T))
    filled.refresh()
    answer = parse(TREND).ask(filled.engine, place=place)
    assert (answer.number, answer.read_from) == (2, "Read from the columnar copy, as of revision 2.")


def test_a_question_whose_files_were_removed_is_asked_of_the_tables(filled: Copy) -> None:
    place = place_of(filled)
    shutil.rmtree(filled.folder)
    answer = parse(TREND).ask(filled.engine, place=place)
    assert answer.number == 2
    assert answer.read_from == ("Read from the tables, as of revision 2: the columnar copy was replaced meanwhile.")


def test_a_value_is_the_same_number_in_both_places(copy: Copy) -> None:
    values = ("5", "5\n", " 5", "5 ", "+.5", "1e2", "1e400", "0x5", "5" * 41, "")
    copy.revisions.put(1, *(event("came", f"person {at}", T + at, amount=value) for at, value in enumerate(values)))
    copy.refresh()
    question = parse(f"trend came --where 'amount>0' --value amount {TREND.removeprefix('trend')}")
    sums = [question.ask(copy.engine, place=place_of(copy, wanted)).number for wanted in ReadFrom]
    assert sums == [105.5] * 3
