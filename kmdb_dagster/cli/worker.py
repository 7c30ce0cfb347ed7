"""The command that carries out runs, one machine of many: ``worker``."""

import os

import click

from kmdb_dagster.errors import SettingsError
from kmdb_dagster.settings import load_settings


@click.command()
@click.option("--runs", default=1, show_default=True, type=click.IntRange(1, 64), help="Runs at a time.")
def worker(runs: int) -> None:
    """Carry out Dagster's runs, here, until it is ended. For many machines (docs/how-to/many-machines.md).

    SIGTERM lets the runs that it has come to their end first.

    \b
    Example:
        DAGSTER_HOME=/etc/kmdb kmdb worker --runs 2
    """
    load_settings().required_database()
    try:
        from kmdb_dagster.dagster_ext.celery_launcher import work
    except ModuleNotFoundError as error:
        if error.name not in {"celery", "dagster_celery"}:
            raise
        raise SettingsError("Celery is not installed: pip install 'kmdb-dagster[celery]'.") from None
    from kmdb_dagster.dagster_ext.instance import open_instance

    # As in `kmdb ui`: compute logs of runs may hold personal data.
    os.umask(0o077)
    with open_instance() as instance:
        work(instance, runs)


COMMANDS = (worker,)
