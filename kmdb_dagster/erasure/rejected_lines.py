"""Erase the rejected lines that name a person."""

from collections.abc import Collection

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.erasure.digests import ErasedIdentities
from kmdb_dagster.warehouse.connection.server import execute_in_batches, transaction
from kmdb_dagster.warehouse.identity.user_map import Progress
from kmdb_dagster.warehouse.ledger import ledger


def remove_rejected_lines(engine: Engine, erased: ErasedIdentities, report: Progress = lambda *_: None) -> int:
    """Remove the rejected lines that name an erased identity. Reads all rejected lines.

    Args:
        engine: the warehouse.
        erased: the erased identities.
        report: called with a text, the number of the revision and the number of all, after each revision.

    Returns:
        The number of removed lines.
    """
    with transaction(engine) as connection:
        revisions = list(connection.execute(text("SELECT revision FROM revisions WHERE rejected > 0")).scalars())
    removed = 0
    for number, revision in enumerate(revisions, start=1):
        with transaction(engine) as connection:
            if _naming(connection, revision, erased):
                ledger.lock_revisions(connection, [revision])
                removed += _remove_lines(connection, revision, _naming(connection, revision, erased))
        report("searching rejected lines of revisions", number, len(revisions))
    return removed


def _naming(connection: Connection, revision: int, erased: ErasedIdentities) -> list[int]:
    # A line may have 16 MiB, so the buffer is small.
    found = connection.execution_options(stream_results=True, max_row_buffer=8).execute(
        text("SELECT line, raw FROM rejected_lines WHERE revision = :revision"), {"revision": revision}
    )
    return [int(line) for line, raw in found if erased.named_in(bytes(raw))]


def _remove_lines(connection: Connection, revision: int, lines: Collection[int]) -> int:
    execute_in_batches(connection, f"DELETE FROM rejected_lines WHERE revision = {revision} AND line IN :ids", lines)  # noqa: S608
    ledger.subtract_counts(connection, revision, {"rejected": len(lines)})
    return len(lines)
