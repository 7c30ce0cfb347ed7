"""Alerts of the sensor that does not get on: a stalled import, and objects that are not read."""

from types import SimpleNamespace

import pytest

from kmdb_dagster.dagster_ext.sensor_state import find_stalled_import
from kmdb_dagster.defs.sensors.alerts import GRACE_PERIOD_SECONDS
from testing.alert_receivers import Hook
from testing.sensor_ticks import AlertTicks

pytestmark = pytest.mark.usefixtures("no_waiting")


class Ticking:
    """A stand-in for Dagster's history of the sensor; that the real one has this shape is seen in `test_backfills`."""

    def __init__(self, cursor: str, *ticks: tuple[float, str, str | None]) -> None:
        data = SimpleNamespace(cursor=cursor)
        names = {"instigator_name": "new_revisions", "instigator_origin_id": "o", "selector_id": "s"}
        self._state = SimpleNamespace(**names, instigator_data=data)
        self._ticks = [
            SimpleNamespace(
                timestamp=at,
                status=SimpleNamespace(value=status),
                error=SimpleNamespace(message=words) if words else None,
            )
            for at, status, words in ticks
        ]

    def all_instigator_state(self) -> list[SimpleNamespace]:
        """The sensors."""
        return [self._state]

    def get_ticks(
        self, _origin: str, _selector: str, before: float = 1e9, after: float = 0, limit: int | None = None
    ) -> list[SimpleNamespace]:
        """The ticks, the latest first."""
        return [tick for tick in self._ticks if after < tick.timestamp < before][:limit]


OURS = "kmdb_dagster.errors.PermanentError: Access denied."


THEIRS = "KeyError: 'bob@example.com'"


@pytest.mark.parametrize(
    ("ticking", "words"),
    [
        (Ticking('{"left": 0, "moved_at": 10}', (9990, "SKIPPED", None), (50, "SKIPPED", None)), None),
        (Ticking('{"left": 7, "moved_at": 9000}', (9990, "SKIPPED", None), (50, "SKIPPED", None)), None),
        (
            Ticking('{"left": 7, "moved_at": 10}', (9990, "SKIPPED", None)),
            "For 2 hours no revision was imported, and there is more to import: 7 revisions.",
        ),
        (
            Ticking("{}", (9990, "FAILURE", OURS), (50, "SUCCESS", None)),
            "Access denied. The sensor new_revisions could not list the bucket for 2 hours.",
        ),
        (Ticking("{}", (9990, "FAILURE", THEIRS), (50, "SUCCESS", None)), "KeyError. The sensor"),
        (Ticking("{}", (9990, "FAILURE", OURS), (9950, "SKIPPED", None), (50, "SUCCESS", None)), None),
        (Ticking("{}", (9990, "FAILURE", OURS)), None),
        (Ticking("{}", (50, "SKIPPED", None)), "it does not tick"),
        (Ticking("{}", (9990, "STARTED", None), (50, "SKIPPED", None)), "ticks do not end."),
        (Ticking("{}"), None),
    ],
)
def test_a_stalled_import_is_reported_with_its_reason(ticking: Ticking, words: str | None) -> None:
    found = find_stalled_import(ticking, 10_000, 2, "http://here")  # type: ignore[arg-type]  # a stand-in
    assert (found is None) == (words is None)
    if found and words:
        assert words in found.text
        assert "bob" not in found.text


def test_objects_that_are_not_read_are_reported_once_and_when_resolved(
    teller: AlertTicks, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller.later = 2 * GRACE_PERIOD_SECONDS
    for cursor in ("{}", '{"unread": "Rename them. Seen and not read: 2 objects (a, b)."}', '{"unread": ""}'):
        for name in ("all_instigator_state", "get_ticks"):
            monkeypatch.setattr(teller.instance, name, getattr(Ticking(cursor), name))
        for _ in range(3):
            teller.later += GRACE_PERIOD_SECONDS / 2
            teller.tick(hook.url)
    assert [posted["title"] for posted in hook.taken] == [
        "kmdb: the bucket has objects that are not read",
        "kmdb: the bucket recovered",
    ]
    assert "Rename them. Seen and not read: 2 objects (a, b)." in hook.taken[0]["message"]


def test_a_daemon_that_restarts_has_a_grace_period(
    teller: AlertTicks, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = Ticking('{"left": 7, "moved_at": 10}', (50, "SKIPPED", None))
    for name in ("all_instigator_state", "get_ticks"):
        monkeypatch.setattr(teller.instance, name, getattr(still, name))
    teller.later = 2 * GRACE_PERIOD_SECONDS
    assert teller.tick(hook.url) == "No open incidents."
    for _ in range(3):
        teller.later += GRACE_PERIOD_SECONDS / 2
        teller.tick(hook.url)
    (posted,) = hook.taken
    assert posted["title"] == "kmdb: the import is stalled"
