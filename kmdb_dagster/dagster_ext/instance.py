"""Dagster's instance, as the ``kmdb`` command finds it: where its history is, and whether its daemon runs."""

import os
from pathlib import Path

import dagster as dg

from kmdb_dagster.errors import PermanentError, SettingsError

FILE = "dagster.yaml"
NEEDED_DAEMONS = ("BACKFILL", "QUEUED_RUN_COORDINATOR")


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
    statuses = instance.get_daemon_statuses(NEEDED_DAEMONS)
    if not all(status.healthy for status in statuses.values()):
        raise PermanentError(
            "Dagster's daemon is not running, so no run would start. Start `kmdb ui` and leave it open."
        )
