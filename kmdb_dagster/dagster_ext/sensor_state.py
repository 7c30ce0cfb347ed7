"""Whether the import stands still, seen from the sensor that drives it: its ticks, and the progress that it noted."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from kmdb_dagster.alerting.incidents import Trouble
from kmdb_dagster.dagster_ext.cursors import ImportCursor, read_cursor
from kmdb_dagster.dagster_ext.run_outcomes import in_our_words

SENSOR = "new_revisions"
GOOD = {"SUCCESS", "SKIPPED"}
MOST_TICKS = 500


def standing_still(instance: dg.DagsterInstance, now: float, hours: float, ui_url: str) -> Trouble | None:
    """The trouble, if nothing has moved for so many hours. A sensor that was never there is none."""
    sensor = _sensor(instance)
    if sensor is None:
        return None
    since = now - hours * 3600
    words = _blind(instance, sensor, since, now, hours) or _still(sensor, since, hours)
    link = f"{ui_url.rstrip('/')}/automation"
    return Trouble("the import", "stands still", words, link, now, []) if words else None


def objects_not_read(instance: dg.DagsterInstance, now: float, ui_url: str) -> Trouble | None:
    """The trouble, if the sensor saw objects in the bucket that may hold data and are not read."""
    noted, _ = read_cursor(ImportCursor, getattr(getattr(_sensor(instance), "instigator_data", None), "cursor", None))
    if not noted.unread:
        return None
    link = f"{ui_url.rstrip('/')}/automation"
    return Trouble("the bucket", "has objects that are not read", noted.unread, link, now, [], warning=True)


def _sensor(instance: dg.DagsterInstance) -> Any:  # noqa: ANN401 - a private class of Dagster's
    return next((state for state in instance.all_instigator_state() if state.instigator_name == SENSOR), None)


def _blind(
    instance: dg.DagsterInstance,
    sensor: Any,  # noqa: ANN401 - a private class of Dagster's
    since: float,
    now: float,
    hours: float,
) -> str | None:
    """It has not looked at the bucket, although it was there before. One that is new may be about to."""
    ids = sensor.instigator_origin_id, sensor.selector_id
    if not instance.get_ticks(*ids, before=since, limit=1):
        return None
    # Not those in the future, by a clock that was ahead once: they say nothing of now.
    ticks = instance.get_ticks(*ids, after=since, before=now, limit=MOST_TICKS)
    if any(tick.status.value in GOOD for tick in ticks):
        return None
    return f"The sensor {SENSOR} has not been able to look at the bucket for {hours:g} hours.{_why(ticks)}"


def _why(ticks: Sequence[Any]) -> str:
    if not ticks:
        return " It does not tick: it was turned off, or Dagster's daemon does not get to it."
    error = ticks[0].error
    return f" It says: {in_our_words(error.message)}" if error else " Its ticks do not end."


def _still(sensor: Any, since: float, hours: float) -> str | None:  # noqa: ANN401 - as above
    """It has looked, and nothing comes in although something should."""
    noted, _ = read_cursor(ImportCursor, getattr(sensor.instigator_data, "cursor", None))
    # No time: the sensor's next tick writes one.
    if not noted.left or not noted.moved_at or noted.moved_at >= since:
        return None
    return (
        f"For {hours:g} hours no revision has come in, and {noted.left} are to come in. Are runs waiting in the "
        f"queue, or hanging? The latest tick of the sensor {SENSOR} says what it waits for."
    )
