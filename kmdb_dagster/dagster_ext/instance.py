"""Dagster's instance, as the ``kmdb`` command finds it: where its history is, and whether its daemon runs."""

import os
import time
from pathlib import Path

import dagster as dg

from kmdb_dagster.errors import PermanentError, SettingsError

FILE = "dagster.yaml"
NEEDED_DAEMONS = ("BACKFILL", "QUEUED_RUN_COORDINATOR")
MAX_HEARTBEAT_AGE_SECONDS = 300
"""Each daemon reports every 30 seconds, or after a long iteration. Dagster itself tolerates 30 minutes."""
START_IT = "Start `kmdb ui` and leave it open."


def open_instance() -> dg.DagsterInstance:
    """Open the instance that ``dagster dev`` would use here: of DAGSTER_HOME, or of ./dagster.yaml.

    Raises:
        SettingsError: neither exists, or DAGSTER_HOME is not an absolute path of a folder.
    """
    home = os.environ.get("DAGSTER_HOME")
    if home:
        if not Path(home).is_absolute() or not Path(home).is_dir():
            raise SettingsError(
                f"DAGSTER_HOME is {home!r}. Expected: the absolute path of a folder, e.g. DAGSTER_HOME=$HOME/kmdb; "
                "`kmdb ui` creates it."
            )
        return dg.DagsterInstance.get()
    if Path(FILE).exists():
        return dg.DagsterInstance.from_config(".", FILE)
    raise SettingsError(
        "Dagster's history is not found: DAGSTER_HOME is not set, and this folder has no dagster.yaml. "
        "Set DAGSTER_HOME to a folder, e.g. DAGSTER_HOME=$HOME/kmdb, and start `kmdb ui`."
    )


def require_daemon(instance: dg.DagsterInstance) -> None:
    """Check that Dagster's daemon runs, which starts runs.

    Raises:
        PermanentError: Dagster's daemon is not running.
    """
    if problem := daemon_problem(instance):
        raise PermanentError(problem)


def daemon_problem(instance: dg.DagsterInstance) -> str | None:
    """Say why Dagster's daemon would start no run, from its heartbeats; None if it runs."""
    heartbeats = [status.last_heartbeat for status in instance.get_daemon_statuses(NEEDED_DAEMONS).values()]
    reported = [heartbeat.timestamp for heartbeat in heartbeats if heartbeat]
    if len(reported) < len(heartbeats):
        return f"Dagster's daemon is not running, so no run would start. {START_IT}"
    age = time.time() - min(reported)
    if age > MAX_HEARTBEAT_AGE_SECONDS:
        return f"Dagster's daemon last reported {age / 60:.0f} minutes ago, so no run starts. {START_IT}"
    return None
