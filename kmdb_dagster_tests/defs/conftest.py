"""Fixtures of the tests of Dagster's definitions."""

from types import SimpleNamespace

import dagster as dg
import pytest

from kmdb_dagster.defs.resources import Kmdb
from testing.sensor_ticks import Watch


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries do not wait."""
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))


@pytest.fixture
def watch(instance: dg.DagsterInstance, kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The sensor `new_revisions`, tick by tick."""
    return Watch(instance, kmdb, monkeypatch)
