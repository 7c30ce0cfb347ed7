"""Fixtures of the tests of Dagster's definitions."""

from collections.abc import Iterator
from types import SimpleNamespace

import dagster as dg
import pytest

from kmdb_dagster.defs.resources import Kmdb
from testing.alert_receivers import Hook, Mailbox, serving
from testing.sensor_ticks import AlertTicks, Watch


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries do not wait."""
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))


@pytest.fixture
def watch(instance: dg.DagsterInstance, kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The sensor `new_revisions`, tick by tick."""
    return Watch(instance, kmdb, monkeypatch)


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A web hook."""
    server = Hook()
    with serving(server):
        yield server


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A mail server."""
    server = Mailbox()
    with serving(server):
        yield server


@pytest.fixture
def teller(instance: dg.DagsterInstance, kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch) -> AlertTicks:
    """The sensor, from before anything happened."""
    return AlertTicks(instance, kmdb, monkeypatch)
