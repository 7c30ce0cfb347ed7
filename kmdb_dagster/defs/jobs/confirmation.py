"""The typed confirmation of jobs that delete for good: the name of the database, in the run's configuration.

A request that nobody meant does not carry it, and neither does the right configuration in the tab of the wrong
deployment. A schedule can carry it.
"""

import dagster as dg
from pydantic import Field

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse import Warehouse


class Confirmation(dg.Config):
    """A configuration that may delete for good."""

    confirm: str = Field(
        default="", description="The name of the database, typed. It confirms a deletion; a dry run needs none."
    )


def require_confirmation(config: Confirmation, warehouse: Warehouse, deed: str) -> None:
    """See that the name of the database was typed.

    Raises:
        PermanentError: It was not. Nothing is deleted.
    """
    if config.confirm != warehouse.database:
        typed = f"`confirm` is {config.confirm!r}" if config.confirm else "`confirm` is missing"
        raise PermanentError(
            f"Nothing is deleted: {typed}. To {deed} in {warehouse.name}, type the database's name into the run's "
            f"configuration: `confirm: {warehouse.database}`."
        )
