"""Fixtures: a bucket on S3, opened as the program does."""

import functools
import tempfile

import pytest

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.settings import Settings
from kmdb_dagster.source import Bucket

SECRET = "a-secret-key"  # noqa: S105 - opens nothing


@functools.cache  # half a second each
def opened(url: str, name: str) -> Bucket:
    """The bucket of that name at that endpoint, opened through the environment."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as nowhere:
        for field in Settings.model_fields.values():
            patch.delenv(str(field.alias), raising=False)
        patch.chdir(nowhere)
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_BUCKET", name)
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        return Kmdb().bucket()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that boto3 and we would have made, each as long as it can be. No test sleeps."""
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    monkeypatch.setattr("random.random", lambda: 1.0)
    return pauses
