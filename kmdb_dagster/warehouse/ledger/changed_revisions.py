"""The changed revisions that bucket scans found (``changed_revisions``), remembered until they are imported.

Only a listing of the whole bucket finds them. The sensor lists it every hour, and requests them as room appears.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Engine, text

from kmdb_dagster.warehouse.connection.server import insert, transaction

INSERT = (
    "INSERT INTO changed_revisions (revision, etag, seen_at) VALUES (%s, %s, UTC_TIMESTAMP()) "
    "ON DUPLICATE KEY UPDATE etag = VALUES(etag), seen_at = VALUES(seen_at)"
)
READ = (
    "SELECT c.revision, c.etag, COALESCE(r.error IS NOT NULL AND r.failed_at > c.seen_at, 0) "
    "FROM changed_revisions c LEFT JOIN revisions r ON r.revision = c.revision"
)


class Change(NamedTuple):
    """What a bucket scan found of an imported revision."""

    etag: str | None
    """Of the file that replaced the imported one. None: the bucket no longer has it."""
    has_failed: bool
    """Its import was tried and failed."""


def read_changes(engine: Engine) -> dict[int, Change]:
    """Read the remembered changes, by revision."""
    with transaction(engine) as connection:
        found = connection.execute(text(READ)).all()
    return {revision: Change(etag, bool(failed)) for revision, etag, failed in found}


def remember_changes(engine: Engine, etags: Mapping[int, str | None]) -> None:
    """Remember exactly these changed revisions. An ETag that is remembered already keeps its time.

    Args:
        engine: of the warehouse.
        etags: the ETag in the bucket of each changed revision; None if the bucket no longer has it.
    """
    known = {revision: change.etag for revision, change in read_changes(engine).items()}
    changes = [change for change in sorted(etags.items()) if change not in known.items()]
    gone = ",".join(str(revision) for revision in sorted(known.keys() - etags.keys()))
    with transaction(engine) as connection:
        if gone:
            connection.exec_driver_sql(f"DELETE FROM changed_revisions WHERE revision IN ({gone})")  # noqa: S608 - numbers
        insert(connection, INSERT, [(number, etag) for number, etag in changes])
