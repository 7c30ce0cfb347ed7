"""The confirmation of jobs that delete permanently: the name of the database, in the run's configuration.

It stops accidental requests, and a configuration typed into the UI of another deployment. A schedule can have it.
"""

import dagster as dg
from pydantic import Field

from kmdb_dagster.errors import RequestError
from kmdb_dagster.warehouse import Warehouse


class Confirmation(dg.Config):
    """The configuration of a job that deletes permanently."""

    confirm: str = Field(
        default="", description="The name of the database, typed. It confirms a deletion; a dry run needs none."
    )


def require_confirmation(config: Confirmation, warehouse: Warehouse, action: str) -> None:
    """Check that the configuration names the database.

    Args:
        config: the configuration of the run.
        warehouse: the database.
        action: what the job does, for the message.

    Raises:
        RequestError: it does not. Nothing is deleted.
    """
    if config.confirm != warehouse.database:
        typed = f"`confirm` is {config.confirm!r}" if config.confirm else "`confirm` is missing"
        raise RequestError(
            f"Nothing is deleted: {typed}. To {action} in {warehouse.name}, type the database's name into the run's "
            f"configuration: `confirm: {warehouse.database}`."
        )
