"""Faults of S3: truncated bodies, throttling, refusals."""

import socket
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from botocore.config import Config

from kmdb_dagster.dagster_ext import s3_resource
from kmdb_dagster.dagster_ext.s3_resource import S3
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.source import Bucket, StoredObject
from kmdb_dagster.source.bucket import ObjectChangedError
from kmdb_dagster.source.s3 import CHUNK, MAX_BREAKS
from kmdb_dagster_tests.source.conftest import SECRET, opened
from testing.faulty_s3 import Cut, Fault, FaultyS3, Refusal, Replaced, Short, serving

CONTENT = bytes(range(256)) * 12_000  # 3 MB: three chunks, all different
KEY = "revisions/1.json"

pytestmark = pytest.mark.usefixtures("slept")


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[FaultyS3, Bucket]]:
    s3 = FaultyS3(CONTENT)
    with serving(s3) as url:
        yield s3, opened(url, "kmdb-faulty")


@pytest.fixture
def s3(served: tuple[FaultyS3, Bucket]) -> FaultyS3:
    s3 = served[0]
    s3.content, s3.faults, s3.ranges, s3.headers, s3.head, s3.fixed_etag = CONTENT, iter(()), [], {}, None, None
    return s3


@pytest.fixture
def bucket(served: tuple[FaultyS3, Bucket]) -> Bucket:
    return served[1]


def found_in(bucket: Bucket) -> StoredObject:
    found = bucket.find(KEY)
    assert found is not None
    return found


def read(bucket: Bucket, s3: FaultyS3, *faults: Fault) -> bytes:
    """The object's bytes, if these faults come first."""
    s3.faults = iter(faults)
    return b"".join(bucket.read(found_in(bucket)))


@pytest.mark.parametrize("after", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, len(CONTENT) - 1])
def test_a_truncated_body_is_resumed_to_the_same_bytes(bucket: Bucket, s3: FaultyS3, after: int) -> None:
    assert read(bucket, s3, Cut(after)) == CONTENT
    assert len(s3.ranges) == 2


def test_a_broken_read_resumes_at_its_offset(bucket: Bucket, s3: FaultyS3) -> None:
    read(bucket, s3, Cut(2 * CHUNK + 5))
    assert s3.ranges == [None, f"bytes={2 * CHUNK + 5}-"] or s3.ranges == [None, f"bytes={2 * CHUNK}-"]


def test_many_breaks_with_progress_between_them_are_tolerated(bucket: Bucket, s3: FaultyS3) -> None:
    assert read(bucket, s3, *[Cut(100_000)] * (2 * MAX_BREAKS)) == CONTENT


def test_repeated_breaks_without_progress_end_as_transient(bucket: Bucket, s3: FaultyS3) -> None:
    with pytest.raises(TransientError, match=f"s3://kmdb-faulty/{KEY}"):
        read(bucket, s3, Cut(CHUNK), *repeat(Cut(0), 50))
    assert s3.ranges == [None, *[f"bytes={CHUNK}-"] * (MAX_BREAKS - 1)]


def test_pauses_between_retries_grow(bucket: Bucket, s3: FaultyS3, slept: list[float]) -> None:
    read(bucket, s3, *[Cut(0)] * (MAX_BREAKS - 1))
    assert slept == sorted(slept)
    assert 10 < sum(slept) < 20


def test_throttling_is_retried_with_backoff(bucket: Bucket, s3: FaultyS3, slept: list[float]) -> None:
    assert read(bucket, s3, *[Refusal(503, "SlowDown")] * 4) == CONTENT
    assert len(slept) == 4


def test_endless_throttling_ends_as_transient(bucket: Bucket, s3: FaultyS3) -> None:
    s3.faults = repeat(Refusal(503, "SlowDown"))
    with pytest.raises(TransientError, match=f"s3://kmdb-faulty/{KEY}: S3 answered SlowDown"):
        list(bucket.read(StoredObject(KEY, s3.etag, len(CONTENT))))


def test_a_break_followed_by_throttling_is_retried(bucket: Bucket, s3: FaultyS3) -> None:
    assert read(bucket, s3, Cut(7), Refusal(500, "InternalError"), Refusal(503, "SlowDown"), Cut(7)) == CONTENT


def test_the_message_of_denied_access_has_the_object_and_the_remedy_but_no_secret(bucket: Bucket, s3: FaultyS3) -> None:
    with pytest.raises(PermanentError, match="s3:GetObject") as caught:
        read(bucket, s3, Refusal(403, "AccessDenied"))
    assert f"s3://kmdb-faulty/{KEY}" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert len(s3.ranges) == 1


def test_a_resumed_read_never_mixes_two_versions_of_an_object(bucket: Bucket, s3: FaultyS3) -> None:
    s3.faults = chain([Cut(CHUNK), Replaced(CONTENT[::-1])])
    got = bucket.read(found_in(bucket))
    assert next(got) == CONTENT[:CHUNK]
    with pytest.raises(ObjectChangedError):
        list(got)
    assert len(s3.ranges) == 2


@pytest.mark.parametrize("wrong", [b"", b"short", CONTENT + b"more"], ids=["nothing", "too little", "too much"])
def test_a_response_with_a_wrong_length_is_an_error(bucket: Bucket, s3: FaultyS3, wrong: bytes) -> None:
    with pytest.raises(ObjectChangedError):
        read(bucket, s3, Short(wrong))


def test_a_host_that_never_answers_fails_within_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    options: Any = S3  # boto3's types do not know what is in it
    assert options.retries["total_max_attempts"] * max(options.connect_timeout, options.read_timeout) < 2 * 60
    monkeypatch.setattr(s3_resource, "S3", S3.merge(Config(read_timeout=0.1)))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bucket = opened(f"http://127.0.0.1:{silent.getsockname()[1]}", "kmdb-silent")
        with pytest.raises(TransientError, match=r"s3://kmdb-silent/.*the connection to S3 failed .*AWS_ENDPOINT_URL"):
            bucket.find(KEY)
