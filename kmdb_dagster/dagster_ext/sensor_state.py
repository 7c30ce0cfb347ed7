"""Incidents of the sensor `new_revisions`: a stalled import, and objects that are not read, from ticks and cursor."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from kmdb_dagster.alerting.incidents import Incident
from kmdb_dagster.dagster_ext.cursors import ImportCursor, read_cursor
from kmdb_dagster.dagster_ext.run_outcomes import public_message
from kmdb_dagster.wording import counted

SENSOR = "new_revisions"
GOOD = {"SUCCESS", "SKIPPED"}
MAX_TICKS = 500


def find_stalled_import(instance: dg.DagsterInstance, now: float, hours: float, ui_url: str) -> Incident | None:
    """Find out whether the import is stalled. It is not if the sensor never existed.

    Args:
        instance: Dagster's instance.
        now: in seconds since 1970.
        hours: how long the import may make no progress.
        ui_url: the address of Dagster's UI, for the link.
    """
    sensor = _sensor(instance)
    if sensor is None:
        return None
    since = now - hours * 3600
    text = _no_listing(instance, sensor, since, now, hours) or _no_progress(sensor, since, hours)
    link = f"{ui_url.rstrip('/')}/automation"
    return Incident("the import", "is stalled", text, link, now, []) if text else None


def find_unread_objects(instance: dg.DagsterInstance, now: float, ui_url: str) -> Incident | None:
    """Find out whether the sensor saw objects in the bucket that may hold data and are not read.

    Args:
        instance: Dagster's instance, which has the sensor's cursor.
        now: the time of the incident, in seconds since 1970.
        ui_url: where the UI is, for the link.
    """
    noted, _ = read_cursor(ImportCursor, getattr(getattr(_sensor(instance), "instigator_data", None), "cursor", None))
    if not noted.unread:
        return None
    link = f"{ui_url.rstrip('/')}/automation"
    return Incident("the bucket", "has objects that are not read", noted.unread, link, now, [], warning=True)


def _sensor(instance: dg.DagsterInstance) -> Any:  # noqa: ANN401 - a private class of Dagster's
    return next((state for state in instance.all_instigator_state() if state.instigator_name == SENSOR), None)


def _no_listing(
    instance: dg.DagsterInstance,
    sensor: Any,  # noqa: ANN401 - a private class of Dagster's
    since: float,
    now: float,
    hours: float,
) -> str | None:
    """Describe a sensor that could not list the bucket for hours. A new sensor may be about to."""
    ids = sensor.instigator_origin_id, sensor.selector_id
    if not instance.get_ticks(*ids, before=since, limit=1):
        return None
    # Exclude ticks in the future, from a clock that was ahead.
    ticks = instance.get_ticks(*ids, after=since, before=now, limit=MAX_TICKS)
    if any(tick.status.value in GOOD for tick in ticks):
        return None
    return f"{_advice(ticks)} The sensor {SENSOR} could not list the bucket for {_hours(hours)}."


def _advice(ticks: Sequence[Any]) -> str:
    if not ticks:
        return "Turn the sensor on, or check that Dagster's daemon runs: it does not tick."
    error = ticks[0].error
    return public_message(error.message).rstrip(".") + "." if error else "Restart Dagster's daemon: ticks do not end."


def _hours(hours: float) -> str:
    return "an hour" if hours == 1 else f"{hours:g} hours"


def _no_progress(sensor: Any, since: float, hours: float) -> str | None:  # noqa: ANN401 - as above
    """Describe a sensor that lists the bucket while nothing is imported for hours, although something should be."""
    noted, _ = read_cursor(ImportCursor, getattr(sensor.instigator_data, "cursor", None))
    # No time: the sensor's next tick writes one.
    if not noted.left or not noted.moved_at or noted.moved_at >= since:
        return None
    return (
        f"Look at the latest tick of the sensor {SENSOR}, and for runs that wait in the queue or hang. For "
        f"{_hours(hours)} no revision was imported, and there is more to import: {counted(noted.left, 'revision')}."
    )
