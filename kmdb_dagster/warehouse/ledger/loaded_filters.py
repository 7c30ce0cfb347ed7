"""Which filters the imported revisions were loaded with, by the digest in the ledger."""

from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.warehouse.connection.server import transaction


class FilterUse(NamedTuple):
    """The imported revisions that were loaded with other filters, and the number of those without a record of them."""

    other: list[int]
    not_recorded: int


def loaded_with(engine: Engine, filters: bytes) -> FilterUse:
    """Compare the filters that the imported revisions were loaded with.

    Args:
        engine: the warehouse.
        filters: the digest of the filters to compare with.
    """
    statement = text(
        "SELECT revision, filters FROM revisions WHERE imported_at IS NOT NULL AND etag IS NOT NULL "
        "AND (filters IS NULL OR filters <> :filters) ORDER BY revision"
    )
    with transaction(engine) as connection:
        found = connection.execute(statement, {"filters": filters}).all()
    return FilterUse(
        [row.revision for row in found if row.filters is not None], sum(row.filters is None for row in found)
    )


def replace_filters(connection: Connection, before: bytes, after: bytes) -> None:
    """Count the revisions that were loaded with the filters ``before`` as loaded with those of ``after``.

    Args:
        connection: a transaction.
        before: the digest that the ledger has, 32 bytes.
        after: the digest that replaces it.
    """
    connection.execute(
        text("UPDATE revisions SET filters = :after WHERE filters = :before"), {"before": before, "after": after}
    )
