"""The compiled fast path alone: which lines it reads, and the size of its buffers."""

from itertools import product

import pytest

from kmdb_dagster.km_export.blocks import BLOCK_BYTES
from kmdb_dagster.km_export.fields import read_careful
from kmdb_dagster.km_export.line_scanner import Scanner
from kmdb_dagster.km_export.records import PropertySet, Record

BOUNDS = (0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF)
"""Bytes at which the rules of UTF-8 change."""


def plain(line: bytes, scanner: Scanner) -> list[Record]:
    """What the scanner makes of a line; nothing if it is not plain."""
    columns, at = scanner.read(line + b"\n", 0, 1)
    records: list[Record] = list(columns.records())
    assert (at, len(records)) in {(0, 0), (len(line) + 1, 1)}
    return records


def with_value(value: bytes) -> bytes:
    return b'{"v":"%b","_p":"bob","_t":1}' % value


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_bytes_are_plain_exactly_if_they_are_utf8_text(length: int) -> None:
    scanner = Scanner(100)
    for sequence in map(bytes, product(*[BOUNDS] * min(length, 3), *[(0x41, 0x80, 0xBF, 0xC2)] * (length - 3))):
        text = sequence.decode(errors="ignore")
        expected = [PropertySet(1, "bob", 1, {"v": text})] if text.encode() == sequence else []
        assert plain(with_value(sequence), scanner) == expected
        assert plain(with_value(b"".join(b"\\%03o" % byte for byte in sequence)), scanner) == expected


@pytest.mark.parametrize("code", [1, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF])
def test_the_fast_path_reads_escaped_characters(code: int) -> None:
    units = chr(code).encode("utf-16-be").hex()
    written = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)).encode()
    for line in (with_value(written), with_value(written.upper().replace(b"U", b"u"))):
        assert plain(line, Scanner(100)) == read_careful(1, line)


@pytest.mark.parametrize("count", [1, 99, 100, 101, 300])
def test_the_fast_path_finds_a_duplicate_property_among_any_number(count: int) -> None:
    members = b",".join(b'"%d":"v"' % number for number in range(count))
    once = b'{"_p":"bob","_t":1,' + members + b"}"
    assert plain(once, Scanner(BLOCK_BYTES)) == (read_careful(1, once) if count <= 100 else [])
    for again in (b'"0":"v"', b'"\\060":"w"', b'"%d":""' % (count - 1)):
        assert plain(once[:-1] + b"," + again + b"}", Scanner(BLOCK_BYTES)) == []


def test_the_fast_path_returns_nothing_of_a_line_that_is_not_plain() -> None:
    good, odd = with_value(b"x") + b"\n", b'{"a":"x","n":1,"_p":"ann","_t":2,"_n":"ev","b":true}\n'
    alone, _ = Scanner(200).read(good, 0, 1)
    assert Scanner(200).read(good + odd, 0, 1) == (alone, len(good))


@pytest.mark.parametrize(
    "line",
    [
        b'{"_p":"a","_t":1,"":0}\n',
        b'{"_p":"a","_t":1,"_n":"e"}\n',
        b'{"_p":"a","_p2":"b","_t":1}\n',
        b'{"_p":"a","_t":1,%b}\n' % b",".join(b'"%c":0' % byte for byte in range(0x23, 0x5C)),
    ],
)
@pytest.mark.parametrize("count", [1, 2, 3, 500])
def test_lines_of_minimal_length_fit_into_the_buffers(line: bytes, count: int) -> None:
    text = line * count
    columns, at = Scanner(len(text)).read(text, 0, 1)
    assert (at, len(columns.times)) == (len(text), count)


def test_a_text_over_the_limit_of_the_scanner_is_not_read() -> None:
    text = with_value(b"x") + b"\n"
    columns, at = Scanner(len(text) - 1).read(text, 0, 1)
    assert (at, len(columns.times)) == (0, 0)


@pytest.mark.parametrize("line", [with_value(b"x"), b'{"v', b'{"v\\', b'{"v\\u12', b'{"_p":"bob","_t":1', b" "])
def test_nothing_is_read_beyond_a_text_without_a_newline(line: bytes) -> None:
    scanner = Scanner(100)
    for start in range(len(line)):
        assert scanner.read(line + b"\n", start, 1)[1] in {start, len(line) + 1}
    with pytest.raises(IndexError):
        scanner.read(line, 0, 1)
    with pytest.raises(IndexError):
        scanner.read(line, -1, 1)
