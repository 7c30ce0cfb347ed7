"""Every error of S3 is permanent for all objects, permanent for one, or transient, with a remedy."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from threading import Thread

import pytest

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import KmdbError, PermanentError, TransientError
from kmdb_dagster.pipeline.bucket_scan import probe_ahead
from kmdb_dagster.source import Bucket, BucketUnusableError, ObjectUnreadableError
from kmdb_dagster.source.roles import metadata_service_fails
from kmdb_dagster.source.s3_errors import BUCKET_CODES, OBJECT_CODES, TRANSIENT_CODES
from kmdb_dagster_tests.source.conftest import SECRET, opened
from testing.faulty_s3 import FaultyS3, Refusal, serving

KEY = "revisions/1.json"
PLACE = f"s3://kmdb-refusing/{KEY}"

pytestmark = pytest.mark.usefixtures("slept")


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[FaultyS3, Bucket]]:
    s3 = FaultyS3(b"content")
    with serving(s3) as url:
        yield s3, opened(url, "kmdb-refusing")


@pytest.fixture
def s3(served: tuple[FaultyS3, Bucket]) -> FaultyS3:
    s3 = served[0]
    s3.faults, s3.ranges, s3.head = iter(()), [], None
    return s3


@pytest.fixture
def bucket(served: tuple[FaultyS3, Bucket]) -> Bucket:
    return served[1]


def error_of_read(bucket: Bucket, s3: FaultyS3, refusal: Refusal) -> KmdbError:
    found = bucket.find(KEY)
    assert found is not None
    s3.faults = repeat(refusal)
    with pytest.raises(KmdbError) as caught:
        list(bucket.read(found))
    assert PLACE in str(caught.value)
    assert SECRET not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("code", [code for code in BUCKET_CODES if not code.isdecimal()])
def test_an_error_of_all_objects_is_permanent_and_never_retried(bucket: Bucket, s3: FaultyS3, code: str) -> None:
    error = error_of_read(bucket, s3, Refusal(403, code))
    assert isinstance(error, BucketUnusableError)
    assert BUCKET_CODES[code] in str(error)
    assert len(s3.ranges) == 1


@pytest.mark.parametrize("code", OBJECT_CODES)
def test_an_error_of_one_object_is_permanent_for_its_revision(bucket: Bucket, s3: FaultyS3, code: str) -> None:
    error = error_of_read(bucket, s3, Refusal(400, code))
    assert isinstance(error, ObjectUnreadableError)
    assert OBJECT_CODES[code] in str(error)
    assert len(s3.ranges) == 1


@pytest.mark.parametrize("status", [400, 403, 409, 418, 451])
def test_an_unknown_refusal_of_an_object_is_permanent_and_the_message_has_its_code(
    bucket: Bucket, s3: FaultyS3, status: int
) -> None:
    error = error_of_read(bucket, s3, Refusal(status, "NeverHeardOf"))
    assert isinstance(error, ObjectUnreadableError)
    assert f"S3 refuses it (NeverHeardOf, HTTP {status})" in str(error)


@pytest.mark.parametrize("code", sorted(TRANSIENT_CODES))
def test_throttling_and_server_errors_are_transient_whatever_their_status(
    bucket: Bucket, s3: FaultyS3, code: str
) -> None:
    assert isinstance(error_of_read(bucket, s3, Refusal(400, code)), TransientError)


@pytest.mark.parametrize("status", [408, 429, 500, 501, 502, 503, 504, 520])
def test_5xx_408_and_429_are_transient_whatever_their_code(bucket: Bucket, s3: FaultyS3, status: int) -> None:
    assert isinstance(error_of_read(bucket, s3, Refusal(status, "NeverHeardOf")), TransientError)


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken"])
def test_a_bare_400_for_a_head_is_explained_by_one_get(bucket: Bucket, s3: FaultyS3, code: str) -> None:
    s3.head = Refusal(400, "")
    s3.faults = repeat(Refusal(400, code))
    with pytest.raises(BucketUnusableError, match="credentials have expired"):
        bucket.find(KEY)
    assert len(s3.ranges) == 1


@pytest.mark.parametrize("status", [400, 403, 405])
def test_an_object_whose_head_is_refused_is_found_by_a_get(bucket: Bucket, s3: FaultyS3, status: int) -> None:
    by_head = bucket.find(KEY)
    s3.head = Refusal(status, "")
    assert bucket.find(KEY) == by_head


def test_denied_access_is_an_error_of_one_object_at_first(bucket: Bucket, s3: FaultyS3) -> None:
    s3.head = Refusal(403, "")
    s3.faults = repeat(Refusal(403, "AccessDenied"))
    with pytest.raises(PermanentError, match="s3:GetObject") as caught:
        bucket.find(KEY)
    assert not isinstance(caught.value, BucketUnusableError | ObjectUnreadableError)


def test_an_unreadable_revision_does_not_stop_the_search_for_new_ones(bucket: Bucket, s3: FaultyS3) -> None:
    s3.head = Refusal(400, "")
    s3.faults = iter([Refusal(400, "KMS.DisabledException")])
    assert list(probe_ahead(bucket, 0, lookahead=1).etags)[:2] == [1, 2]


@pytest.fixture
def metadata_service() -> Iterator[tuple[str, list[int]]]:
    """A metadata service that answers these statuses, then hands out credentials."""
    statuses: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = statuses.pop() if statuses else 200
            keys = {"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c", "Expiration": "2999-01-01T00:00:00Z"}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(keys).encode() if status == 200 else b"")

        do_PUT = do_GET  # noqa: N815 - http.server's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", statuses
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BUCKET", "kmdb-roles")
    monkeypatch.delenv("KMDB_LOCAL_BUCKET", raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)


@pytest.mark.usefixtures("without_keys")
@pytest.mark.parametrize("name", ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EC2_METADATA_SERVICE_ENDPOINT"])
def test_a_role_whose_metadata_service_answers_503_is_transient(
    name: str, metadata_service: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, statuses = metadata_service
    statuses += [503] * 50
    monkeypatch.setenv(name, url)
    with pytest.raises(TransientError, match=r"s3://kmdb-roles/.*credentials of the role cannot be fetched"):
        Kmdb().bucket().find(KEY)


def test_a_disabled_metadata_service_gets_no_request(
    metadata_service: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, statuses = metadata_service
    statuses += [503, 503]
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "True")
    assert not metadata_service_fails()
    assert len(statuses) == 2
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    assert metadata_service_fails()
    assert len(statuses) == 1


@pytest.mark.usefixtures("without_keys")
def test_missing_credentials_are_an_error_that_names_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BucketUnusableError, match=r"no credentials. Set AWS_ACCESS_KEY_ID"):
        Kmdb().bucket().find(KEY)


@pytest.mark.usefixtures("without_keys")
def test_a_profile_that_does_not_exist_is_an_error_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(BucketUnusableError, match="AWS_PROFILE"):
        Kmdb().bucket().find(KEY)
