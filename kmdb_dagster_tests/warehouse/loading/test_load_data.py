"""LOAD DATA: rows round-trip, or the revision fails."""

import resource
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.event import listen

from kmdb_dagster.erasure.redaction import Redactor
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.loading import load_data
from kmdb_dagster.warehouse.loading.leftovers import Leftovers, RowsInTheWayError
from kmdb_dagster.warehouse.loading.load_data import _file_of, bulk_insert
from kmdb_dagster.warehouse.loading.revision import load_revisions
from kmdb_dagster.warehouse.schema.tables import FACTS
from testing.buckets import T, event, line, property_set
from testing.revisions import Revisions, change, content, one, rows

pytestmark = pytest.mark.xdist_group("infile")  # some change settings of the server, which the others meet

AT = datetime(2014, 4, 15, 15, 57, 33)  # noqa: DTZ001 - as the server has it
TROUBLE = "\\\t\n\r\0\x1a\b\"'`,;%NZnrt0b \x7f\x80\u2028\ufeff\uffff\U0001f600\U0010ffff"
VALUES = st.lists(st.none() | st.text() | st.text(alphabet=TROUBLE), max_size=30)
MILLION = ["\\N" * 500_000, "\t" * 1_000_000, "\U0001f600\n" * 200_000, ""]


def properties(*values: str | None, **columns: Any) -> pa.Table:
    """Rows of ``properties``."""
    many = len(values)
    plain = {"id": range(1, many + 1), "t": [AT] * many, "key": [1] * many, "user_id": [1] * many}
    rest = {"value": pa.array(values, pa.string()), "event_id": [None] * many, "identity_id": [1] * many}
    return pa.table({name: pa.array(cells) for name, cells in {**plain, **rest, **columns}.items()})


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES)
@example(MILLION)
@example(
    [None, "\\N", "N", "NULL", "", "\\", "\\\\", "\\t", "\t", "a\\", "a\n", "\n", '"', '"a"', "\r\n", "\0", "\x1a"]
)
def test_any_value_round_trips_through_load_data(engine: Engine, values: list[str | None]) -> None:
    with transaction(engine) as connection:
        bulk_insert(connection, "properties", properties(*values))
        found = connection.exec_driver_sql("SELECT value FROM properties ORDER BY id").scalars().all()
        connection.rollback()
    assert found == values


@given(st.lists(st.text() | st.text(alphabet=TROUBLE) | st.none(), min_size=1))
def test_load_data_text_has_one_line_per_row_and_tabs_between_cells(values: list[str | None]) -> None:
    text = load_data.as_text(properties(*values)).to_pybytes()
    assert text.endswith(b"\n")
    assert [line.count(b"\t") for line in text[:-1].split(b"\n")] == [6] * len(values)


@given(st.lists(st.text(alphabet=TROUBLE) | st.none(), min_size=1), st.integers(1, 4))
def test_pieces_have_a_maximum_of_rows_and_make_up_the_whole_text(values: list[str | None], most: int) -> None:
    table = properties(*values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_data, "MAX_ROWS_PER_PIECE", most)
        pieces = [piece.to_pybytes() for piece in load_data._pieces(table)]  # noqa: SLF001
    assert b"".join(pieces) == load_data.as_text(table).to_pybytes()
    assert all(piece.count(b"\n") <= most for piece in pieces)


def test_times_numbers_and_nulls_round_trip(engine: Engine) -> None:
    largest: dict[str, Any] = {"id": [2**63 - 1], "t": [datetime(9999, 12, 31, 23, 59, 59)], "key": [2**32 - 1]}  # noqa: DTZ001 - as the server has it
    with transaction(engine) as connection:
        bulk_insert(connection, "properties", properties("a", **largest, event_id=[2**63 - 65536]))
        bulk_insert(connection, "properties", properties(None))
    assert rows(engine, "SELECT * FROM properties ORDER BY id") == [
        (1, AT, 1, None, 1, None, 1),
        (2**63 - 1, largest["t"][0], 2**32 - 1, "a", 1, 2**63 - 65536, 1),
    ]


@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,PIPES_AS_CONCAT"])
def test_load_data_does_not_depend_on_the_defaults_of_the_server(engine: Engine, mode: str) -> None:
    given = one(engine, "SELECT @@GLOBAL.sql_mode")
    change(engine, f"SET GLOBAL sql_mode = '{mode}'")
    engine.dispose()
    try:
        with transaction(engine) as connection:
            bulk_insert(connection, "properties", properties("a\\b\tc", None))
    finally:
        change(engine, f"SET GLOBAL sql_mode = '{given}'")
    assert rows(engine, "SELECT value FROM properties ORDER BY id") == [("a\\b\tc",), (None,)]


@pytest.mark.parametrize(
    "wrong",
    [{"key": ["x"]}, {"key": [-1]}, {"key": [2**32]}, {"t": ["nonsense"]}, {"t": ["2014-02-30"]}, {"user_id": [None]}],
    ids=str,
)
def test_a_value_that_does_not_fit_fails_the_load(engine: Engine, wrong: dict[str, list[Any]]) -> None:
    with pytest.raises(PermanentError, match=r"with warnings \[\d+.*\]|MySQL error"), transaction(engine) as connection:
        bulk_insert(connection, "properties", properties("bob@example.com", **wrong))
    assert one(engine, "SELECT COUNT(*) FROM properties") == 0


def test_a_duplicate_row_id_is_an_error_without_a_value(engine: Engine) -> None:
    with transaction(engine) as connection:
        bulk_insert(connection, "properties", properties("old"))
    with (
        pytest.raises(RowsInTheWayError, match=r"1 rows are in 'properties' already") as raised,
        transaction(engine) as connection,
    ):
        bulk_insert(connection, "properties", properties("bob@example.com", "new"))
    assert "bob" not in str(raised.value)
    assert rows(engine, "SELECT value FROM properties") == [("old",)]


def test_rows_that_the_ledger_lost_during_a_run_are_replaced_at_the_next_attempt(
    engine: Engine, revisions: Revisions
) -> None:
    leftovers = Leftovers(*FACTS)
    parsed = revisions.parsed(1, event("came", plan="pro"))
    revisions.resolve_parsed(1, parsed)
    load = partial(load_revisions, engine, [parsed], batch_size=10, make_redactor=Redactor, leftovers=leftovers)
    load()
    before = content(engine)
    change(engine, "DELETE FROM revisions")
    with pytest.raises(RowsInTheWayError, match="rows of the revision that the ledger does not know"):
        load()
    load()
    assert content(engine) == before


def test_leftover_rows_are_looked_up_once_per_range(engine: Engine, revisions: Revisions) -> None:
    leftovers = Leftovers(*FACTS)
    revisions.load(5, event("came"))
    asked: list[str] = []
    listen(engine, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    with engine.connect() as connection:
        found = [leftovers.may_be_there(connection, revision) for revision in (1, 2, 4, 5, 6, 1000, 3)]
    assert found == [False, False, False, True, False, False, False]
    assert len(asked) == 4


@pytest.fixture(autouse=True)
def _no_warning_yet() -> None:
    """The warning is logged once per process and database, and tests share databases."""
    load_data._warn.cache_clear()  # noqa: SLF001 - the process stands for many


@pytest.fixture
def refusing(engine: Engine) -> Iterator[None]:
    """The server has local_infile turned off."""
    change(engine, "SET GLOBAL local_infile = OFF")
    engine.dispose()
    yield
    change(engine, "SET GLOBAL local_infile = ON")


def answered_with(number: int) -> Callable[..., None]:
    """In place of LOAD DATA: the server, or a proxy before it, answers with this error."""

    def refused(connection: Connection, *_: object) -> None:
        connection.exec_driver_sql(f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'x'")

    return refused


def test_rows_are_inserted_where_a_proxy_refuses_load_data(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_data, "_load_data", answered_with(1047))
    with transaction(engine) as connection:
        bulk_insert(connection, "properties", properties("a", "b"))
    assert rows(engine, "SELECT value FROM properties ORDER BY id") == [("a",), ("b",)]


def test_a_node_that_is_not_ready_is_transient(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_data, "_load_data", answered_with(1047))
    monkeypatch.setattr(load_data, "_insert", answered_with(1047))
    with pytest.raises(TransientError, match="the node is not ready"), transaction(engine) as connection:
        bulk_insert(connection, "properties", properties("a"))


@pytest.mark.usefixtures("refusing")
def test_rows_are_inserted_with_one_warning_where_the_server_refuses_load_data(
    engine: Engine, revisions: Revisions, caplog: pytest.LogCaptureFixture
) -> None:
    values = ["a\\b\tc\nd", "", '"', "\U0001f600"]
    for revision in (1, 2):
        lines = [
            *(event("came", value=value) for value in values),
            property_set(plan="pro"),
            b'{"a":null,"_p":"b","_t":1}\n',
        ]
        entry = revisions.load(revision, *lines)
        assert (entry.events, entry.properties) == (4, 6)
    assert [row for (row,) in rows(engine, "SELECT value FROM properties WHERE id < 2 << 40 ORDER BY id")] == [
        *values,
        "pro",
        None,
    ]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "refuses LOAD DATA LOCAL INFILE" in warning
    assert "local_infile" in warning


def test_rows_are_inserted_where_the_client_refuses_load_data(database: str, caplog: pytest.LogCaptureFixture) -> None:
    engine = create_engine(database_url(database), connect_args={"local_infile": 0})
    with transaction(engine) as connection:
        bulk_insert(connection, "properties", properties("a\\b\tc", None))
    assert rows(engine, "SELECT value FROM properties ORDER BY id") == [("a\\b\tc",), (None,)]
    assert len(caplog.records) == 1
    engine.dispose()


def test_a_revision_of_many_batches_is_loaded_in_one_transaction(
    engine: Engine, revisions: Revisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        line({**dict.fromkeys("abcd"[: number % 5], "x"), "_n": "came", "_p": f"user{number}", "_t": T})
        for number in range(40)
    ]
    entry, whole = revisions.load(1, *lines), content(engine)
    monkeypatch.setattr("kmdb_dagster.warehouse.loading.facts.even_batches.__defaults__", (3,))
    assert revisions.load(1, *lines) == entry
    assert content(engine) == whole


def test_a_full_disk_is_an_error_with_the_place_to_make_room() -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limit[1]))
    try:
        with (
            pytest.raises(PermanentError, match="Make room there, or set TMPDIR"),
            _file_of([pa.py_buffer(b"x" * 100)]),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
