"""The command ``worker``: executes Dagster's runs on one of many machines."""

import os

import click

from kmdb_dagster.errors import SettingsError
from kmdb_dagster.settings import load_settings


@click.command()
@click.option("--runs", default=1, show_default=True, type=click.IntRange(1, 64), help="Runs at the same time.")
def worker(runs: int) -> None:
    """Execute Dagster's runs on this machine.

    Takes runs from the Celery broker until you stop it; see docs/how-to/many-machines.md. On SIGTERM, it finishes the
    runs that it has started.

    \b
    Example:
        $ DAGSTER_HOME=/etc/kmdb kmdb worker --runs 2
    """
    load_settings().required_database()
    try:
        from kmdb_dagster.dagster_ext.celery_launcher import work
    except ModuleNotFoundError as error:
        if error.name not in {"celery", "dagster_celery"}:
            raise
        raise SettingsError("Celery is not installed: pip install 'kmdb-dagster[celery]'.") from None
    from kmdb_dagster.dagster_ext.instance import open_instance

    # Compute logs may hold personal data, so only this user may read them.
    os.umask(0o077)
    with open_instance() as instance:
        work(instance, runs)


COMMANDS = (worker,)
