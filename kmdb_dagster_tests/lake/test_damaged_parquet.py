"""Any flipped bit in a Parquet of the lake is detected before a row of the file is used."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.digest import digest
from kmdb_dagster.erasure.redaction import Redactor, rewrite_parquet
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.km_export.reader import read_columns
from kmdb_dagster.lake import ParsedFile, RawFile, write_parsed
from kmdb_dagster.lake.parquet_file import CRC_KEY, LAYOUT
from kmdb_dagster.lake.parsed import SCHEMA
from kmdb_dagster.sample import sample_bucket
from testing.buckets import FolderOfRevisions, event
from testing.revisions import content
from testing.steps import fetch, load, parse, resolve

FLIPS = 400
SEED = 20261128


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def rows(path: Path) -> list[dict[str, object]]:
    return [row for batch in ParsedFile(path, 57).batches(100) for row in batch.to_pylist()]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("written") / "57.parquet"
    lines = dict(sample_bucket(1, 300, seed=1))["revisions/1.json"]
    write_parsed(path, 57, RawFile(None, "an-etag", len(lines)), read_columns([lines]))
    assert len(rows(path)) >= 300
    return path.read_bytes()


def test_every_flipped_bit_is_detected(written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "57.parquet"
    chance = random.Random(SEED)
    end_of_file = range(len(written) * 8 - 8 * 8, len(written) * 8)
    crc = written.rindex(CRC_KEY) * 8
    for bit in [*chance.sample(range(len(written) * 8), FLIPS), *end_of_file, *range(crc, crc + 20 * 8)]:
        path.write_bytes(flipped(written, bit))
        with pytest.raises(PermanentError, match=r"^The Parquet of revision 57 is damaged. Materialize parsed_events"):
            rows(path)


@pytest.mark.parametrize("length", [0, 3, 8, 100, -1, -8, -9, -1000])
def test_a_truncated_file_is_damaged(written: bytes, tmp_path: Path, length: int) -> None:
    path = tmp_path / "57.parquet"
    path.write_bytes(written[:length])
    with pytest.raises(PermanentError, match="The Parquet of revision 57 is damaged"):
        rows(path)


def test_each_page_has_a_checksum_for_other_readers(written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "57.parquet"
    path.write_bytes(written)
    start = pq.ParquetFile(path).metadata.row_group(0).column(4).data_page_offset
    path.write_bytes(flipped(written, (start + 60) * 8))
    with pytest.raises(OSError, match="CRC"):
        pq.ParquetFile(path, page_checksum_verification=True).read()


def test_damage_during_reading_is_detected(written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "57.parquet"
    path.write_bytes(written)
    start = pq.ParquetFile(path).metadata.row_group(0).column(4).data_page_offset
    opened = ParsedFile(path, 57)
    path.write_bytes(flipped(written, (start + 60) * 8))
    with pytest.raises(PermanentError, match="The Parquet of revision 57 is damaged"):
        list(opened.batches(100))


def test_a_file_of_schema_version_1_is_read_without_a_checksum(written: bytes, tmp_path: Path) -> None:
    (tmp_path / "new.parquet").write_bytes(written)
    expected = rows(tmp_path / "new.parquet")
    old = {b"kmdb.schema_version": b"1", b"kmdb.etag": b"an-etag", b"kmdb.bytes": b"7"}
    table = pa.Table.from_pylist(expected, schema=SCHEMA.with_metadata(old))
    pq.write_table(table, tmp_path / "old.parquet", **{**LAYOUT, "write_page_checksum": False})
    assert rows(tmp_path / "old.parquet") == expected


def test_erasure_rewrites_checksums_and_refuses_a_damaged_file(written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "57.parquet"
    path.write_bytes(written)
    person = next(str(row["identity"]) for row in rows(path) if row["kind"] == "event")
    redactor = Redactor([digest(person)])
    path.write_bytes(flipped(written, 8 * 200))
    with pytest.raises(PermanentError, match="is damaged"):
        rewrite_parquet(path, redactor)
    path.write_bytes(written)
    assert rewrite_parquet(path, redactor)
    rewritten = path.read_bytes()
    assert sum(row["kind"] == "forgotten" for row in rows(path)) > 0
    for bit in random.Random(SEED).sample(range(len(rewritten) * 8), FLIPS // 4):
        path.write_bytes(flipped(rewritten, bit))
        with pytest.raises(PermanentError, match="is damaged"):
            rows(path)


@pytest.mark.parametrize("step", [resolve, load])
def test_a_damaged_parquet_fails_its_revision_and_changes_no_row(
    kmdb: Kmdb, bucket: FolderOfRevisions, step: Callable[..., object]
) -> None:
    bucket.put(57, *[event("visited site")] * 3)
    with kmdb.pipeline() as opened:
        for earlier in (fetch, parse, resolve, load):
            earlier(opened, 57)
        before = content(opened.warehouse.engine)
        path = opened.lake.parsed(57)
        whole = path.read_bytes()
        path.write_bytes(flipped(whole, 8 * (len(whole) // 2)))
        with pytest.raises(PermanentError, match=r"Materialize parsed_events of revision 57 again"):
            step(opened, 57)
        assert content(opened.warehouse.engine) == before
        for later in (parse, resolve, load):
            later(opened, 57)
        assert content(opened.warehouse.engine) == before


def test_a_damaged_raw_copy_is_fetched_again(kmdb: Kmdb, bucket: FolderOfRevisions) -> None:
    bucket.put(57, event("visited site"))
    with kmdb.pipeline() as opened:
        fetch(opened, 57)
        (path,) = opened.lake.all_raw()
        path.write_bytes(path.read_bytes().replace(b"visited", b"risited"))
        assert parse(opened, 57)["events"] == 1
        (row,) = rows(opened.lake.parsed(57))
        assert row["name"] == "visited site"
