"""What the tests of Dagster's side may ask for."""

from collections.abc import Iterator
from types import SimpleNamespace

import dagster as dg
import pytest


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of this test's own, in memory: on disk, SQLite takes longer than the tests."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries do not wait."""
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))
