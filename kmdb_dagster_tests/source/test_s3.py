"""A bucket on S3, through the client that the program makes."""

import itertools
import socket
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.source import Bucket
from kmdb_dagster.source.bucket import ObjectChangedError
from kmdb_dagster_tests.source.conftest import opened


class OnMoto:
    """A bucket, and a way to change it."""

    def __init__(self, url: str, name: str) -> None:
        self._name = name
        self._client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",  # noqa: S106 - moto takes any
        )
        self._client.create_bucket(Bucket=self._name)
        self.bucket: Bucket = opened(url, name)

    def put(self, key: str, content: bytes) -> None:
        """Write an object, in place of any older one."""
        self._client.put_object(Bucket=self._name, Key=key, Body=content)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._client.delete_object(Bucket=self._name, Key=key)


@pytest.fixture(scope="module")
def moto(s3_url: str) -> OnMoto:
    return OnMoto(s3_url, "kmdb-test")


def test_a_listing_of_several_pages_is_complete(s3_url: str) -> None:
    moto = OnMoto(s3_url, "kmdb-pages")
    keys = {f"revisions/{number}.json" for number in range(1, 1003)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(moto.put, keys, itertools.repeat(b"12345")))
    found = list(moto.bucket.objects())
    assert len(found) == 1002
    assert {one.key for one in found} == keys
    assert {one.size for one in found} == {5}


def test_an_empty_bucket_has_no_objects(s3_url: str) -> None:
    empty = OnMoto(s3_url, "kmdb-empty")
    assert list(empty.bucket.objects()) == []
    assert empty.bucket.find("revisions/1.json") is None


def test_a_listing_and_a_head_request_return_the_same_object(moto: OnMoto) -> None:
    moto.put("a b+c/ä.json", b"some")
    assert moto.bucket.find("a b+c/ä.json") in set(moto.bucket.objects())


@pytest.mark.parametrize("content", [b"", b"x", b"\x00\xff\n" * 1_000_000], ids=["empty", "one byte", "three chunks"])
def test_an_object_is_read_unchanged(moto: OnMoto, content: bytes) -> None:
    moto.put("revisions/1.json", content)
    found = moto.bucket.find("revisions/1.json")
    assert found is not None
    assert b"".join(moto.bucket.read(found)) == content


def test_an_object_replaced_after_the_listing_is_not_read(moto: OnMoto) -> None:
    moto.put("revisions/1.json", b"older")
    found = moto.bucket.find("revisions/1.json")
    assert found is not None
    moto.put("revisions/1.json", b"newer")
    with pytest.raises(ObjectChangedError, match=r"s3://kmdb-test/revisions/1.json changed"):
        list(moto.bucket.read(found))


def test_an_object_deleted_after_the_listing_counts_as_changed(moto: OnMoto) -> None:
    moto.put("revisions/1.json", b"older")
    found = moto.bucket.find("revisions/1.json")
    assert found is not None
    moto.delete("revisions/1.json")
    with pytest.raises(ObjectChangedError, match=r"revisions/1.json changed"):
        list(moto.bucket.read(found))


def test_a_missing_bucket_is_an_error_that_names_the_settings(s3_url: str) -> None:
    bucket = opened(s3_url, "kmdb-nowhere")
    with pytest.raises(PermanentError, match=r"s3://kmdb-nowhere.*no such bucket: see AWS_BUCKET and AWS_ENDPOINT_URL"):
        list(bucket.objects())


def test_a_missing_bucket_does_not_make_its_objects_absent(s3_url: str) -> None:
    bucket = opened(s3_url, "kmdb-nowhere")
    with pytest.raises(PermanentError, match=r"s3://kmdb-nowhere.*no such bucket: see AWS_BUCKET"):
        bucket.find("revisions/1.json")


def test_a_name_that_no_bucket_can_have_is_an_error_that_names_the_setting(s3_url: str) -> None:
    with pytest.raises(PermanentError, match="AWS_BUCKET"):
        opened(s3_url, "my bucket").find("revisions/1.json")


def test_an_unreachable_endpoint_fails_within_a_tick_of_the_sensor(slept: list[float]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    bucket = opened(f"http://127.0.0.1:{port}", "kmdb-nowhere")
    with pytest.raises(TransientError, match=r"s3://kmdb-nowhere/revisions/1.json: .*EndpointConnectionError"):
        bucket.find("revisions/1.json")
    assert slept
    assert sum(slept) < 60
