"""Gzip is decompressed in bounded memory; other formats are named."""

import gzip
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.km_export.file_formats import CHUNK, decompressed, name_of_other_format
from kmdb_dagster.km_export.reader import read_lines
from kmdb_dagster.sample import sample_bucket
from testing.buckets import event

LINES = dict(sample_bucket(1, 200, seed=3))["revisions/1.json"]


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@given(st.lists(st.binary(max_size=50), max_size=4), st.integers(1, 30))
def test_plain_bytes_pass_unchanged_whatever_the_chunks(parts: list[bytes], size: int) -> None:
    whole = b"".join(parts)
    if not whole.startswith(b"\x1f\x8b\x08"):
        assert b"".join(decompressed(cut(whole, size))) == whole


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4), st.integers(1, 30))
def test_gzip_members_are_decompressed_whatever_the_chunks(parts: list[bytes], size: int) -> None:
    assert b"".join(decompressed(cut(b"".join(map(gzip.compress, parts)), size))) == b"".join(parts)


def test_lines_in_gzip_are_read_like_plain_lines() -> None:
    assert list(read_lines(decompressed([gzip.compress(LINES)]))) == list(read_lines([LINES]))


@pytest.mark.parametrize("length", range(3, len(gzip.compress(event("went"))), 7))
def test_truncated_gzip_is_an_error(length: int) -> None:
    with pytest.raises(PermanentError, match="gzip file is cut off"):
        list(decompressed([gzip.compress(event("went"))[:length]]))


def test_a_flipped_bit_or_trailing_bytes_of_gzip_are_an_error() -> None:
    whole = gzip.compress(LINES)
    for wrong in (whole + b"more", whole[:50] + bytes([whole[50] ^ 1]) + whole[51:], whole[:-1] + b"\xff"):
        with pytest.raises(PermanentError, match="gzip file is"):
            list(decompressed([wrong]))


def test_a_gzip_bomb_is_decompressed_in_bounded_memory() -> None:
    bomb = gzip.compress(b"\n" * 100 * CHUNK)
    tracemalloc.start()
    total = sum(map(len, decompressed(cut(bomb, CHUNK))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 100 * CHUNK
    assert peak < 8 * CHUNK


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ('{"_n":"went"}\n'.encode("utf-16"), "UTF-16 text. Save it"),
        ('{"_n":"went"}\n'.encode("utf-16-be"), "UTF-16 text or binary data"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html>", "HTML"),
        (b"<HTML><body>", "HTML"),
        (b'<?xml version="1.0"?><Error>', "XML, such as an error of S3"),
        (b"<Error><Code>", "XML"),
        (b'[\n{"a":1},', "a JSON array"),
        (b"[]", "a JSON array"),
        (b'{\n  "_n": "went"', "one object over several lines"),
        (gzip.compress(b"x", mtime=0), "gzip within gzip"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
    ],
)
def test_other_file_formats_are_named(head: bytes, words: str) -> None:
    assert words in str(name_of_other_format(head))


@pytest.mark.parametrize("head", [b"", b"\n", LINES[:4096], event("went"), b"\xef\xbb\xbf" + event("went"), b"[1] no"])
def test_lines_of_an_export_are_not_taken_for_another_format(head: bytes) -> None:
    assert name_of_other_format(head) is None
