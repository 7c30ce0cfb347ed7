"""Corrects times that Dagster wrote while the clock was ahead: they count as never.

Dagster 1.13 waits until the last tick of a sensor is old enough, so a sensor whose last tick lies in 2030 does not tick
before 2030. A schedule does not tick before its last tick either.
"""

import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import wraps
from typing import Any, NamedTuple

import dagster as dg

TOLERANCE_SECONDS = 60.0
"""How far the clocks of two machines may differ."""

_as_written: ContextVar[bool] = ContextVar("_as_written", default=False)
"""Whether times are returned uncorrected."""


class Ahead(NamedTuple):
    """A sensor or schedule that last ticked in the future."""

    name: str
    until: datetime


def sensors_ahead(instance: dg.DagsterInstance) -> list[Ahead]:
    """Return the sensors and schedules whose recorded last tick is in the future."""
    token = _as_written.set(True)
    try:
        states = instance.all_instigator_state()
    finally:
        _as_written.reset(token)
    times = ((state.instigator_name, max(_future_times(state).values(), default=0.0)) for state in states)
    return sorted(Ahead(name, datetime.fromtimestamp(min(at, 2e11), UTC)) for name, at in times if at)


class NeverInTheFuture:
    """Changes what a schedule storage returns: times in the future become never."""

    def __init__(self) -> None:
        self._opened_at = time.time()

    def apply(self, storage: Any) -> None:  # noqa: ANN401 - Dagster's, of any kind
        """Replace the methods of a storage that return times."""
        every, one = storage.all_instigator_state, storage.get_instigator_state
        storage.all_instigator_state = wraps(every)(lambda *a, **n: list(map(self._corrected, every(*a, **n))))
        storage.get_instigator_state = wraps(one)(lambda *a, **n: self._corrected(one(*a, **n)))
        for name in ("get_ticks", "get_tick_summaries"):
            setattr(storage, name, _only_past(getattr(storage, name)))

    def _corrected(self, state: Any) -> Any:  # noqa: ANN401 - a private class of Dagster's
        wrong = _future_times(state) if state else {}
        if not wrong or _as_written.get():
            return state
        # A schedule without a time would run every tick since 1970.
        self._opened_at = min(self._opened_at, time.time())
        never = self._opened_at if hasattr(state.instigator_data, "cron_schedule") else None
        return state.with_data(state.instigator_data._replace(**dict.fromkeys(wrong, never)))


def _future_times(state: Any) -> dict[str, float]:  # noqa: ANN401 - as above
    data = state.instigator_data
    names = [name for name in getattr(data, "_fields", ()) if name.endswith("timestamp")]
    limit = time.time() + TOLERANCE_SECONDS
    return {name: at for name in names if (at := getattr(data, name)) and at > limit}


def _only_past(ticks: Callable[..., Sequence[Any]]) -> Callable[..., Sequence[Any]]:
    """Return only past ticks, unless the caller gives bounds. A schedule continues from its latest tick."""

    @wraps(ticks)
    def past(*arguments: Any, **named: Any) -> Sequence[Any]:  # noqa: ANN401 - it passes on what Dagster gives
        # The first two arguments select the sensor.
        if len(arguments) <= 2 and named.get("before") is None and named.get("after") is None:
            named["before"] = time.time() + TOLERANCE_SECONDS
        return ticks(*arguments, **named)

    return past
