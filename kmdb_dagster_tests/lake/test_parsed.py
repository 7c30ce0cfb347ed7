"""Records round-trip through the Parquet of a revision."""

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.km_export.records import Alias, Blank, Event, PropertySet, Reason, Record, Rejected, Typed, Value
from kmdb_dagster.lake import LineCounts, ParsedFile, RawFile, parsed, write_parsed
from kmdb_dagster.lake.parquet_file import SCHEMA_VERSION
from kmdb_dagster.lake.parsed import GROUP_BYTES, GROUP_RECORDS, SCHEMA

RAW = RawFile(Path("raw"), "an-etag", 123)
LATEST = 253_402_300_799
"""The last second of the year 9999."""

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
TIMES = st.sampled_from([1, LATEST]) | st.integers(1, LATEST)
VALUES: st.SearchStrategy[Value] = TEXT | st.sampled_from(
    [Typed("null", None), Typed("number", "1.10"), Typed("boolean", "true"), Typed("json", '{"a":null}')]
)
PROPERTIES = st.dictionaries(TEXT, VALUES, max_size=5)
LINE = (
    st.tuples(st.builds(Event, st.just(0), TEXT, TIMES, TEXT, PROPERTIES))
    | st.tuples(st.builds(PropertySet, st.just(0), TEXT, TIMES, PROPERTIES))
    | st.tuples(st.builds(Alias, st.just(0), TEXT, TEXT, TIMES))
    | st.tuples(
        st.builds(Alias, st.just(0), TEXT, TEXT, TIMES), st.builds(Event, st.just(0), TEXT, TIMES, TEXT, PROPERTIES)
    )
    | st.tuples(st.builds(Rejected, st.just(0), st.sampled_from(Reason), st.binary(max_size=20)))
    | st.tuples(st.just(Blank(0)))
)
REVISIONS = st.lists(LINE, max_size=12).map(
    lambda lines: [record._replace(line=number) for number, line in enumerate(lines, 1) for record in line]
)


def event(line: int, **properties: Value) -> Event:
    return Event(line, "bob@example.com", 1_400_000_000 + line, "visited", properties)


def as_row(record: Record) -> dict[str, Any]:
    """What is to come back of a record."""
    fields = record._asdict()
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=fields["t"]) if "t" in fields else None
    values = [
        (key, value if isinstance(value, str) else value.text) for key, value in fields.get("properties", {}).items()
    ]
    kind = {Event: "event", PropertySet: "property_set", Alias: "alias", Rejected: "rejected", Blank: "blank"}
    cells = {name: fields.get(name) for name in ("identity", "name", "alias", "reason", "raw")}
    return {"revision": 57, "line": record.line, "kind": kind[type(record)], "t": time, "properties": values, **cells}


def rows(path: Path, size: int = 1000) -> list[dict[str, Any]]:
    return [row for batch in ParsedFile(path, 57).batches(size) for row in batch.to_pylist()]


def test_every_part_of_a_revision_is_in_its_parquet(tmp_path: Path) -> None:
    records: list[Record] = [
        Alias(1, "bob@example.com", "7", 1),
        Event(
            1, "bob@example.com", LATEST, "😀 naïve\n", {"": "", "null": Typed("null", None), "big": "ü" * 1_000_000}
        ),
        PropertySet(2, "", 1_400_000_000, {"n": Typed("number", "1.10")}),
        Rejected(3, Reason.INVALID_JSON, b"\xff\x00{"),
        Blank(4),
    ]
    assert write_parsed(tmp_path / "57.parquet", 57, RAW, records) == LineCounts(4, 1, 1, 4, 1, 1, 1)
    assert rows(tmp_path / "57.parquet") == [as_row(record) for record in records]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=REVISIONS, group=st.integers(1, 5), batch=st.integers(1, 20))
def test_records_round_trip_whatever_the_size_of_row_groups(
    tmp_path: Path, records: list[Record], group: int, batch: int
) -> None:
    path = tmp_path / "57.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsed, "GROUP_RECORDS", group)
        tally = write_parsed(path, 57, RAW, records)
    assert rows(path, batch) == [as_row(record) for record in records]
    assert tally.lines == len({record.line for record in records})
    assert tally.properties == sum(len(as_row(record)["properties"]) for record in records)
    assert [tally.events, tally.property_sets, tally.aliases, tally.rejected, tally.blank] == [
        sum(isinstance(record, kind) for record in records) for kind in (Event, PropertySet, Alias, Rejected, Blank)
    ]


def test_a_line_with_two_records_across_row_groups_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsed, "GROUP_RECORDS", 2)
    records: list[Record] = [event(1), Alias(2, "bob@example.com", "7", 1), event(2), event(3)]
    assert write_parsed(tmp_path / "57.parquet", 57, RAW, records) == LineCounts(lines=3, events=3, aliases=1)


def groups(path: Path) -> list[int]:
    metadata = pq.ParquetFile(path).metadata
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def test_a_row_group_has_a_maximum_of_records(tmp_path: Path) -> None:
    write_parsed(tmp_path / "57.parquet", 57, RAW, (event(line) for line in range(1, 3 * GROUP_RECORDS + 2)))
    assert groups(tmp_path / "57.parquet") == [GROUP_RECORDS] * 3 + [1]


LONG = "x" * (GROUP_BYTES // 4)


@pytest.mark.parametrize(
    "record",
    [
        event(1, long=LONG),
        PropertySet(1, "bob@example.com", 1, {LONG: ""}),
        Event(1, "bob@example.com", 1, LONG, {}),
        Event(1, LONG, 1, "visited", {}),
        PropertySet(1, LONG, 1, {}),
        Alias(1, LONG, "7", 1),
        Alias(1, "7", LONG, 1),
        Rejected(1, Reason.INVALID_JSON, LONG.encode()),
    ],
    ids=["value", "key", "name", "identity", "identity of a property set", "alias of", "alias", "raw line"],
)
def test_a_row_group_has_a_maximum_of_bytes(tmp_path: Path, record: Record) -> None:
    write_parsed(tmp_path / "57.parquet", 57, RAW, (record._replace(line=line) for line in range(1, 11)))
    assert max(groups(tmp_path / "57.parquet")) == 4


def test_records_are_read_one_row_group_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsed, "GROUP_RECORDS", 10)
    written: list[int] = []
    taken = 0
    write = pq.ParquetWriter.write_batch

    def counted(writer: pq.ParquetWriter, batch: pa.RecordBatch) -> None:
        written.append(batch.num_rows)
        write(writer, batch)

    def records() -> Iterator[Record]:
        nonlocal taken
        for taken in range(1, 1001):
            assert taken - sum(written) <= 11
            yield event(taken)

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", counted)
    write_parsed(tmp_path / "57.parquet", 57, RAW, records())
    assert taken == sum(written) == 1000


def test_an_empty_revision_is_a_file_without_rows(tmp_path: Path) -> None:
    assert write_parsed(tmp_path / "57.parquet", 57, RawFile(None, None, 0), []) == LineCounts()
    file = ParsedFile(tmp_path / "57.parquet", 57)
    assert (file.etag, file.size, list(file.batches(10))) == (None, 0, [])
    assert pq.read_table(tmp_path / "57.parquet").schema.names == SCHEMA.names


def test_other_readers_see_the_columns_and_the_metadata(tmp_path: Path) -> None:
    write_parsed(tmp_path / "57.parquet", 57, RAW, [event(1, color="red")])
    table = pq.read_table(tmp_path / "57.parquet")
    assert table.schema.equals(SCHEMA)
    assert table.schema.metadata == {
        b"kmdb.schema_version": SCHEMA_VERSION.encode(),
        b"kmdb.revision": b"57",
        b"kmdb.etag": b"an-etag",
        b"kmdb.bytes": b"123",
    }
    assert table.to_pylist()[0]["properties"] == [("color", "red")]


def test_a_parquet_records_the_raw_file_that_it_was_made_from(tmp_path: Path) -> None:
    write_parsed(tmp_path / "57.parquet", 57, RAW, [Blank(1)])
    file = ParsedFile(tmp_path / "57.parquet", 57)
    assert (file.etag, file.size) == ("an-etag", 123)


def test_a_revision_without_parquet_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"Revision 57 is not parsed.*Materialize parsed_events first"):
        ParsedFile(tmp_path / "57.parquet", 57)


@pytest.mark.parametrize("metadata", [{}, {"kmdb.schema_version": "0"}, {"kmdb.schema_version": "3"}])
def test_a_parquet_of_another_schema_is_an_error_with_the_remedy(tmp_path: Path, metadata: dict[str, str]) -> None:
    pq.write_table(SCHEMA.with_metadata(metadata).empty_table(), tmp_path / "57.parquet")
    with pytest.raises(PermanentError, match=r"schema version .*Materialize parsed_events of revision 57 again"):
        ParsedFile(tmp_path / "57.parquet", 57)


def test_a_damaged_parquet_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "57.parquet"
    write_parsed(path, 57, RAW, [event(1)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(PermanentError, match=r"is damaged. Materialize parsed_events of revision 57 again"):
        ParsedFile(path, 57)


def test_an_interrupted_write_keeps_the_older_parquet_and_leaves_no_other_file(tmp_path: Path) -> None:
    def breaking_off() -> Iterator[Record]:
        yield event(1)
        raise TransientError("the connection broke")

    write_parsed(tmp_path / "57.parquet", 57, RAW, [Blank(1)])
    with pytest.raises(TransientError, match="the connection broke"):
        write_parsed(tmp_path / "57.parquet", 57, RAW, breaking_off())
    assert rows(tmp_path / "57.parquet") == [as_row(Blank(1))]
    assert [path.name for path in tmp_path.iterdir()] == ["57.parquet"]


def _write_and_die(path: Path) -> None:
    def dying() -> Iterable[Record]:
        yield from map(event, range(1, GROUP_RECORDS + 100))
        os._exit(9)

    write_parsed(path, 57, RAW, dying())


def test_a_process_killed_while_writing_keeps_the_older_parquet(tmp_path: Path) -> None:
    write_parsed(tmp_path / "57.parquet", 57, RAW, [Blank(1)])
    process = multiprocessing.get_context("spawn").Process(target=_write_and_die, args=(tmp_path / "57.parquet",))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert rows(tmp_path / "57.parquet") == [as_row(Blank(1))]
