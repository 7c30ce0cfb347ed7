"""Splitting a file into lines: numbers, chunks, limits."""

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmdb_dagster.km_export.blocks import BLOCK_BYTES, MAX_OVERLONG_BYTES
from kmdb_dagster.km_export.fields import MAX_PROPERTIES, read_careful
from kmdb_dagster.km_export.reader import MAX_LINE_BYTES, read_lines
from kmdb_dagster.km_export.records import Blank, Event, Reason, Record, Rejected

LINE = b'{"_n":"ev","_p":"bob","_t":1397577453}'
PIECES = st.sampled_from(
    [
        LINE,
        b"\n",
        b"\r",
        b" ",
        b"\xef\xbb\xbf",
        b'"',
        b"\\",
        b"\\303",
        b"\\251",
        b"{",
        b"}",
        b"[",
        b",",
        b'"_p":"x"',
        b'{"v":"caf\\303\\251","_p":"a","_t":1}',
        b'{"_p2":"b","_p":"a","_t":1}',
        b"\x00",
        b"\xff",
    ]
)
FILES = st.lists(PIECES | st.binary(max_size=8), max_size=40).map(b"".join)


def read(*lines: bytes) -> list[Record]:
    return list(read_lines([b"\n".join(lines)]))


@given(FILES, st.data())
def test_any_bytes_in_any_chunks_yield_the_records_of_their_lines(raw: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    chunks = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    lines = raw.removesuffix(b"\n").split(b"\n") if raw else []
    expected = [record for number, line in enumerate(lines, 1) for record in read_careful(number, line)]
    records = list(read_lines(chunks))
    assert records == expected
    assert sorted({record.line for record in records}) == list(range(1, len(lines) + 1))


@given(FILES, st.integers(1, 60), st.integers(1, 9))
def test_only_a_line_over_the_limit_is_rejected(raw: bytes, limit: int, chunk_bytes: int) -> None:
    chunks = [raw[at : at + chunk_bytes] for at in range(0, len(raw), chunk_bytes)]
    lines = raw.removesuffix(b"\n").split(b"\n") if raw else []
    too_long = {number for number, line in enumerate(lines, 1) if len(line) > limit}
    for source in (chunks, [raw]):
        records = list(read_lines(source, max_line_bytes=limit))
        refused = {r.line for r in records if isinstance(r, Rejected) and r.reason is Reason.LINE_TOO_LONG}
        assert refused == too_long
        assert {record.line for record in records} == set(range(1, len(lines) + 1))


def test_an_empty_file_has_no_line() -> None:
    assert list(read_lines([])) == []
    assert list(read_lines([b"", b""])) == []


def test_a_file_of_many_blocks_is_read_completely() -> None:
    count = 20 * BLOCK_BYTES // len(LINE)
    records = list(read_lines([(LINE + b"\n") * count]))
    assert [record.line for record in records] == list(range(1, count + 1))


def test_a_byte_order_mark_is_stripped_from_any_line_once() -> None:
    bom = b"\xef\xbb\xbf"
    records = read(bom + LINE, bom + b" " + LINE, bom + bom + LINE, b" " + bom + LINE, bom)
    assert [type(record) for record in records] == [Event, Event, Rejected, Rejected, Blank]


def test_a_rejected_line_keeps_its_bytes() -> None:
    raw = b"\xef\xbb\xbf {broken \xff\r"
    assert read(raw) == [Rejected(1, Reason.INVALID_JSON, raw)]


def test_a_line_of_exactly_the_limit_is_read() -> None:
    assert read_lengths(len(LINE)) == [Event(1, "bob", 1397577453, "ev", {})]
    assert read_lengths(len(LINE) - 1) == [Rejected(1, Reason.LINE_TOO_LONG, LINE)]


def test_the_beginning_of_a_too_long_line_is_kept_whatever_the_chunks() -> None:
    whole, cut = (
        list(read_lines(chunks, max_line_bytes=4)) for chunks in ([LINE], [LINE[at : at + 3] for at in range(0, 99, 3)])
    )
    assert whole == cut == [Rejected(1, Reason.LINE_TOO_LONG, LINE)]


def read_lengths(limit: int) -> list[Record]:
    return list(read_lines([LINE[:5], LINE[5:] + b"\n"], max_line_bytes=limit))


def test_a_line_of_a_hundred_megabytes_is_never_held_in_memory() -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"v":"'
        for _ in range(100):
            yield b"x" * (1 << 20)
        yield b'"}\n' + LINE + b"\n"

    tracemalloc.start()
    first, second = read_lines(chunks())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(first, Rejected)
    assert (first.reason, len(first.raw)) == (Reason.LINE_TOO_LONG, MAX_OVERLONG_BYTES)
    assert second == Event(2, "bob", 1397577453, "ev", {})
    assert peak < 2.5 * MAX_LINE_BYTES


@pytest.mark.parametrize(("count", "event"), [(MAX_PROPERTIES, True), (MAX_PROPERTIES + 1, False)])
def test_a_line_has_no_more_properties_than_row_ids_can_count(*, count: int, event: bool) -> None:
    properties = b",".join(b'"%d":""' % number for number in range(count))
    (record,) = read(b"{" + properties + b"," + LINE[1:])
    if event:
        assert isinstance(record, Event)
        assert len(record.properties) == count
    else:
        assert isinstance(record, Rejected)
        assert record.reason is Reason.TOO_MANY_PROPERTIES


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "line",
    [
        b'{"v":"' + b"x" * (15 << 20) + b'"}',
        b'{"v":"' + b"x" * (15 << 20),
        b'{"v":"' + b"\\\\" * (7 << 20),
        b'{"v":"' + b"\\303\\251" * (1 << 20) + b'"}',
        b'{"v":"' + b'\\"' * (1 << 20),
        b"[" * (15 << 20),
        b'{"a":' * (3 << 20),
        b'"' * (15 << 20),
        b'{"_t":' + b"9" * (15 << 20) + b"}",
        b'{"_t":1e' + b"9" * (15 << 20) + b"}",
        b'{"v":[' + b"1," * (1 << 20) + b"1]}",
    ],
    ids=lambda line: line[:8].decode(),
)
def test_the_time_of_a_huge_line_is_linear_in_its_length(line: bytes) -> None:
    assert len(read(line, LINE)) == 2
