"""Bytes damaged in the transfer from S3 are detected."""

import base64
import hashlib
import zlib
from collections.abc import Iterator
from itertools import repeat

import pytest

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake
from kmdb_dagster.pipeline import Pipeline, fetch
from kmdb_dagster.pipeline.steps import MAX_READS
from kmdb_dagster.source import Bucket, ObjectDamagedError, StoredObject
from kmdb_dagster.source.s3 import CHUNK
from kmdb_dagster_tests.source.conftest import opened
from testing.faulty_s3 import Cut, Damaged, Fault, FaultyS3, serving

CONTENT = bytes(range(256)) * 12_000
KEY = "revisions/1.json"
CRC32 = base64.b64encode(zlib.crc32(CONTENT).to_bytes(4, "big")).decode()
SHA256 = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
MD5 = hashlib.md5(CONTENT).hexdigest()  # noqa: S324 - S3's
OF_A_PART = base64.b64encode(b"part").decode()

PROMISES: dict[str, tuple[dict[str, str], str]] = {
    "crc32": ({"x-amz-checksum-crc32": CRC32, "x-amz-checksum-type": "FULL_OBJECT"}, '"e-7"'),
    "sha256": ({"x-amz-checksum-sha256": SHA256}, '"e-7"'),
    "md5": ({}, f'"{MD5}"'),
    "weak md5": ({}, f'W/"{MD5}"'),
    "md5, encrypted by S3": ({"x-amz-server-side-encryption": "AES256"}, f'"{MD5}"'),
}

pytestmark = pytest.mark.usefixtures("slept")


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[FaultyS3, Bucket]]:
    s3 = FaultyS3(CONTENT)
    with serving(s3) as url:
        yield s3, opened(url, "kmdb-damaged")


@pytest.fixture
def s3(served: tuple[FaultyS3, Bucket]) -> FaultyS3:
    s3 = served[0]
    s3.faults, s3.ranges, s3.headers, s3.fixed_etag = iter(()), [], {}, None
    return s3


@pytest.fixture
def on_s3(served: tuple[FaultyS3, Bucket]) -> Bucket:
    return served[1]


def found_in(on_s3: Bucket) -> StoredObject:
    found = on_s3.find(KEY)
    assert found is not None
    return found


def read(on_s3: Bucket, s3: FaultyS3, *faults: Fault) -> bytes:
    s3.faults = iter(faults)
    return b"".join(on_s3.read(found_in(on_s3)))


@pytest.mark.parametrize("byte", [0, CHUNK, len(CONTENT) - 1])
@pytest.mark.parametrize("promise", PROMISES)
def test_every_checksum_detects_one_flipped_bit(on_s3: Bucket, s3: FaultyS3, promise: str, byte: int) -> None:
    s3.headers, s3.fixed_etag = PROMISES[promise]
    with pytest.raises(ObjectDamagedError, match=f"s3://kmdb-damaged/{KEY}: the bytes that arrived do not match"):
        read(on_s3, s3, Damaged(byte))
    assert read(on_s3, s3) == CONTENT


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("faults", [(Damaged(5, cut=CHUNK + 9),), (Cut(CHUNK + 9), Damaged(2 * CHUNK))])
def test_damage_before_or_after_a_resumed_read_is_detected(
    on_s3: Bucket, s3: FaultyS3, promise: str, faults: tuple[Fault, ...]
) -> None:
    s3.headers, s3.fixed_etag = PROMISES[promise]
    with pytest.raises(ObjectDamagedError):
        read(on_s3, s3, *faults)
    assert len(s3.ranges) == 2


@pytest.mark.parametrize(
    ("headers", "etag"),
    [
        ({"x-amz-checksum-crc32": f"{OF_A_PART}-3", "x-amz-checksum-type": "COMPOSITE"}, '"e-3"'),
        ({"x-amz-checksum-sha256": f"{OF_A_PART}-3"}, '"e-3"'),
        ({"x-amz-server-side-encryption": "aws:kms"}, f'"{"0" * 32}"'),
        ({"x-amz-server-side-encryption-customer-algorithm": "AES256"}, f'"{"0" * 32}"'),
    ],
)
def test_a_composite_checksum_is_not_compared(on_s3: Bucket, s3: FaultyS3, headers: dict[str, str], etag: str) -> None:
    s3.headers, s3.fixed_etag = headers, etag
    assert read(on_s3, s3) == CONTENT


@pytest.mark.parametrize("promise", PROMISES)
def test_a_resumed_read_does_not_compare_the_remainder_with_the_checksum_of_the_object(
    on_s3: Bucket, s3: FaultyS3, promise: str
) -> None:
    s3.headers, s3.fixed_etag = PROMISES[promise]
    assert read(on_s3, s3, Cut(CHUNK + 9), Cut(0), Cut(77_777)) == CONTENT
    assert len(s3.ranges) > 3


@pytest.fixture
def pipeline(kmdb: Kmdb, on_s3: Bucket) -> Iterator[Pipeline]:
    with kmdb.pipeline() as opened:
        yield opened._replace(bucket=on_s3)


def raw_files(lake: Lake) -> list[bytes]:
    return [path.read_bytes() for path in lake.all_raw()]


def test_a_damaged_copy_is_fetched_again_from_its_first_byte(pipeline: Pipeline, s3: FaultyS3) -> None:
    s3.headers, s3.fixed_etag = PROMISES["crc32"]
    s3.faults = iter([Damaged(7)])
    fetch(pipeline, 1)
    assert raw_files(pipeline.lake) == [CONTENT]
    assert s3.ranges == [None, None]


@pytest.mark.parametrize("promise", PROMISES)
def test_an_object_damaged_at_every_read_fails_its_revision_and_stores_no_copy(
    pipeline: Pipeline, s3: FaultyS3, promise: str
) -> None:
    s3.headers, s3.fixed_etag = PROMISES[promise]
    s3.faults = repeat(Damaged(7))
    with pytest.raises(PermanentError, match=r"run import_outstanding.*revisions/1.json.*revision 1 is not imported"):
        fetch(pipeline, 1)
    assert raw_files(pipeline.lake) == []
    assert len(s3.ranges) == MAX_READS


def test_a_weak_etag_identifies_the_same_object(on_s3: Bucket, s3: FaultyS3) -> None:
    s3.fixed_etag = '"abc"'
    strong = found_in(on_s3)
    s3.fixed_etag = 'W/"abc"'
    assert found_in(on_s3) == strong
    assert b"".join(on_s3.read(strong)) == CONTENT
