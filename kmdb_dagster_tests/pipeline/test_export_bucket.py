"""Revisions are found and imported from copies of a bucket: under a prefix, in a flat folder, in gzip."""

import gzip
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.pipeline.bucket_scan import list_bucket, probe_ahead
from kmdb_dagster.source import Bucket
from testing.buckets import event
from testing.revisions import content
from testing.steps import fetch, load, parse, resolve

LINES = event("went", "bob")
Put = Callable[[str, bytes], None]

LAYOUTS = {
    "KissMetrics": ("", "revisions/{}.json"),
    "under a prefix": ("data/kissmetrics", "data/kissmetrics/revisions/{}.json"),
    "gzip": ("", "revisions/{}.json.gz"),
    "flat": ("", "{}.json"),
    "flat under a prefix, gzip": ("/copy/", "copy/{}.json.gz"),
}


@pytest.fixture(params=["folder", "S3"])
def put(
    request: pytest.FixtureRequest,
    bare_environment: None,  # noqa: ARG001 - it is wanted for what it does
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Put:
    """Puts an object into the bucket that the environment names."""
    if request.param == "folder":
        folder = tmp_path / "copy-of-bucket"
        folder.mkdir()
        monkeypatch.setenv("KMDB_LOCAL_BUCKET", str(folder))
        return lambda key, data: _write(folder / key, data)
    name = f"kmdb-{abs(hash(request.node.name))}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("s3_url"))
    monkeypatch.setenv("AWS_BUCKET", name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-key")
    client = boto3.client("s3", endpoint_url=request.getfixturevalue("s3_url"), region_name="us-east-1")
    client.create_bucket(Bucket=name)
    return lambda key, data: client.put_object(Bucket=name, Key=key, Body=data) and None


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def filled(put: Put, layout: str, monkeypatch: pytest.MonkeyPatch, *revisions: int) -> Bucket:
    prefix, key = LAYOUTS[layout]
    monkeypatch.setenv("KMDB_PREFIX", prefix)
    for number in revisions:
        put(key.format(number), gzip.compress(LINES) if key.endswith(".gz") else LINES)
    return Kmdb().bucket()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_listing_and_a_lookahead_find_the_same_revisions(
    put: Put, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = filled(put, layout, monkeypatch, 1, 2, 4)
    everywhere = list_bucket(bucket, None).etags
    assert list(everywhere) == [1, 2, 4]
    assert probe_ahead(bucket, 0, 10).etags == everywhere


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_revision_is_imported_from_any_layout(
    put: Put, layout: str, monkeypatch: pytest.MonkeyPatch, database: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("KMDB_DATA_DIR", str(tmp_path / "lake"))
    filled(put, layout, monkeypatch, 1)
    with Kmdb().pipeline() as opened:
        for step in (fetch, parse, resolve, load):
            step(opened, 1)
        assert len(content(opened.warehouse.engine)["events"]) == 1


def test_other_objects_keep_their_key(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = filled(put, "flat", monkeypatch, 1)
    put("status.csv", b"total_revisions,exported_revisions\n5,2\n")
    status = list_bucket(bucket, None).status
    assert status is not None
    assert status.to_come == 3


@pytest.mark.usefixtures("bare_environment")
def test_a_missing_prefix_folder_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMDB_LOCAL_BUCKET", str(tmp_path))
    monkeypatch.setenv("KMDB_PREFIX", "nowhere")
    with pytest.raises(PermanentError, match="KMDB_PREFIX is 'nowhere/'"):
        Kmdb().bucket()


@pytest.mark.parametrize("put", ["S3"], indirect=True)
def test_a_url_of_an_s3_bucket_names_the_prefix(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    assert filled(put, "under a prefix", monkeypatch).url.endswith("/data/kissmetrics")
