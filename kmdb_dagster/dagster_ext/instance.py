"""Dagster's own instance, as the ``kmdb`` command finds it: where Dagster keeps its history, and whether it runs."""

import os
from pathlib import Path

import dagster as dg

from kmdb_dagster.errors import PermanentError, SettingsError

FILE = "dagster.yaml"
NEEDED_DAEMONS = ("BACKFILL", "QUEUED_RUN_COORDINATOR")


def open_instance() -> dg.DagsterInstance:
    """The instance that ``dagster dev`` would use here: DAGSTER_HOME's, or that of ./dagster.yaml.

    Raises:
        SettingsError: there is neither, or DAGSTER_HOME is no folder.
    """
    home = os.environ.get("DAGSTER_HOME")
    if home:
        if not Path(home).is_absolute() or not Path(home).is_dir():
            raise SettingsError(
                f"DAGSTER_HOME is {home!r}. Expected: the absolute path of a folder, e.g. DAGSTER_HOME=$HOME/kmdb; "
                "`kmdb ui` makes it."
            )
        return dg.DagsterInstance.get()
    if Path(FILE).exists():
        return dg.DagsterInstance.from_config(".", FILE)
    raise SettingsError(
        "Dagster's history is not to be found: DAGSTER_HOME is not set, and there is no dagster.yaml in this folder. "
        "Set DAGSTER_HOME to a folder, e.g. DAGSTER_HOME=$HOME/kmdb, and start `kmdb ui`."
    )


def require_daemon(instance: dg.DagsterInstance) -> None:
    """See that somebody is there who starts runs.

    Raises:
        PermanentError: Dagster's daemon is not running.
    """
    statuses = instance.get_daemon_statuses(NEEDED_DAEMONS)
    if not all(status.healthy for status in statuses.values()):
        raise PermanentError(
            "Dagster's daemon is not running, so nothing would start. Start `kmdb ui` and leave it open."
        )
