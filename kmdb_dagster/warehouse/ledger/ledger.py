"""The ledger (``revisions``): imported revisions, the outcomes of their lines, and failures."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.errors import TransientError
from kmdb_dagster.warehouse.connection.server import insert, select_in_batches, transaction
from kmdb_dagster.warehouse.connection.streams import stream


class Entry(NamedTuple):
    """The ledger entry of an imported revision. The first nine fields count lines or records; times are UTC."""

    lines: int
    imported: int
    ignored: int
    blank: int
    rejected: int
    events: int
    property_sets: int
    properties: int
    aliases: int
    bytes: int
    etag: str | None
    t_min: datetime | None
    t_max: datetime | None

    @property
    def adds_up(self) -> bool:
        """Whether every line has exactly one outcome."""
        return self.lines == self.imported + self.ignored + self.blank + self.rejected


CREATE = "INSERT INTO revisions (revision) VALUES (%s) ON DUPLICATE KEY UPDATE revision = VALUES(revision)"
RECORDED = (*Entry._fields, "filters")
RECORD = (
    f"INSERT INTO revisions (revision, {', '.join(f'`{name}`' for name in RECORDED)}) "  # noqa: S608 - our columns
    f"VALUES (%s{', %s' * len(RECORDED)}) ON DUPLICATE KEY UPDATE "
    f"{', '.join(f'`{name}` = VALUES(`{name}`)' for name in RECORDED)}, "
    "imported_at = UTC_TIMESTAMP(), error = NULL, failed_at = NULL"
)


class Status(NamedTuple):
    """The part of a row of the ledger that the sensor needs."""

    revision: int
    etag: str | None
    imported: bool
    failed: bool
    bytes: int = 0
    """The size of the imported file."""


class Totals(NamedTuple):
    """Sums over the ledger."""

    revisions: int
    absent: int
    failed: int
    lines: int
    imported: int
    ignored: int
    blank: int
    rejected: int
    events: int
    properties: int
    aliases: int
    t_min: datetime | None
    t_max: datetime | None


class Span(NamedTuple):
    """The first and last time of the facts of an imported revision; both None if it has none."""

    t_min: datetime | None
    t_max: datetime | None


def lock_or_create(connection: Connection, revisions: Collection[int]) -> set[int]:
    """Lock the rows of revisions until commit, in ascending order. Create those that are missing.

    Returns:
        The revisions that are recorded as imported.

    Raises:
        TransientError: another process that had created a row failed at the same time.
    """
    ascending = sorted(set(revisions))
    # Not INSERT IGNORE: of two that find the row, each would keep the other from locking it (a deadlock).
    insert(connection, CREATE, [(revision,) for revision in ascending])
    found = connection.exec_driver_sql(
        "SELECT revision, imported_at FROM revisions "  # noqa: S608 - numbers
        f"WHERE revision IN ({', '.join(map(str, ascending))}) ORDER BY revision FOR UPDATE"
    ).all()
    if len(found) < len(ascending):
        # MariaDB: the row that was in the way of ours disappeared with the transaction that had created it.
        raise TransientError("Another process that loads the same revisions failed.")
    return {row.revision for row in found if row.imported_at is not None}


def lock_revisions(connection: Connection, revisions: Iterable[int]) -> dict[int, Span]:
    """Lock the rows of revisions until commit, in ascending order. Returns the span of each that is found."""
    numbers = ",".join(map(str, sorted(set(revisions)))) or "NULL"
    found = connection.exec_driver_sql(
        "SELECT revision, t_min, t_max FROM revisions "  # noqa: S608 - numbers
        f"WHERE revision IN ({numbers}) ORDER BY revision FOR UPDATE"
    )
    return {row[0]: Span(row[1], row[2]) for row in found}


def subtract_counts(connection: Connection, revision: int, counts: Mapping[str, int]) -> None:
    """Subtract removed lines and records from a revision. Imported or rejected lines become ignored.

    Args:
        connection: a transaction that holds the lock of the revision's row.
        revision: the revision.
        counts: what to subtract, by column.
    """
    changes = [f"`{name}` = `{name}` - :{name}" for name in counts]
    changes += [f"ignored = ignored + :{name}" for name in counts if name in {"imported", "rejected"}]
    connection.execute(
        text(f"UPDATE revisions SET {', '.join(changes)} WHERE revision = :revision"),  # noqa: S608 - our columns
        {**counts, "revision": revision},
    )


def set_span(connection: Connection, revision: int, span: Span) -> None:
    """Set the span of the facts of a revision.

    Args:
        connection: a transaction that holds the lock of the revision's row.
        revision: the revision.
        span: the first and last time of its facts, UTC.
    """
    connection.execute(
        text("UPDATE revisions SET t_min = :t_min, t_max = :t_max WHERE revision = :revision"),
        {**span._asdict(), "revision": revision},
    )


def record(connection: Connection, entries: Mapping[int, Entry], filters: bytes) -> None:
    """Record revisions as imported, with the digest of the filters that they were loaded with. Their rows exist.

    Args:
        connection: the transaction of the load, which has locked the rows.
        entries: the counts of each revision.
        filters: the digest of the filters, 32 bytes.
    """
    insert(connection, RECORD, [(revision, *entry, filters) for revision, entry in entries.items()])


def record_failure(engine: Engine, revision: int, words: str) -> None:
    """Record why an import failed. What was imported of the revision before stays.

    Args:
        engine: the warehouse.
        revision: the revision.
        words: the step and the reason, without personal data.
    """
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO revisions (revision, error, failed_at) VALUES (:revision, :words, UTC_TIMESTAMP()) "
                "ON DUPLICATE KEY UPDATE error = VALUES(error), failed_at = VALUES(failed_at)"
            ),
            {"revision": revision, "words": words},
        )


def statuses(engine: Engine) -> dict[int, Status]:
    """Read the status of every revision in the ledger, by number."""
    found: dict[int, Status] = {}
    with transaction(engine) as connection:
        # 100,000 rows in every tick of the sensor: keep the server's 1 and 0 instead of converting to bool.
        for rows in stream(
            connection, "SELECT revision, etag, imported_at IS NOT NULL, error IS NOT NULL, bytes FROM revisions"
        ):
            found.update(zip((row[0] for row in rows), map(Status._make, rows), strict=True))
    return found


def in_the_future(engine: Engine) -> int:
    """Count the revisions with a time in the future, from a server whose clock was ahead."""
    with transaction(engine) as connection:
        statement = text(
            "SELECT COUNT(*) FROM revisions WHERE GREATEST(COALESCE(imported_at, '1970-01-01'), "
            "COALESCE(failed_at, '1970-01-01')) > UTC_TIMESTAMP() + INTERVAL 1 HOUR"
        )
        return int(connection.execute(statement).scalar_one())


def imports(engine: Engine) -> tuple[int, datetime | None]:
    """Return the number of imported revisions and the time of the latest import. Times in the future are ignored."""
    statement = "SELECT COUNT(imported_at), MAX(IF(imported_at <= UTC_TIMESTAMP(), imported_at, NULL)) FROM revisions"
    with transaction(engine) as connection:
        row = connection.execute(text(statement)).one()
    return int(row[0]), row[1]


def imported_since(engine: Engine, at: datetime | None) -> list[int]:
    """Return the revisions imported at this time or later; all imported ones for None."""
    statement = text("SELECT revision FROM revisions WHERE imported_at >= COALESCE(:at, '1970-01-01')")
    with transaction(engine) as connection:
        return [int(row[0]) for row in connection.execute(statement, {"at": at})]


def counts(engine: Engine, revisions: Collection[int]) -> Iterator[tuple[int, dict[str, int]]]:
    """Yield the counts of imported revisions by name, ascending by revision."""
    names = Entry._fields[:9]
    columns = ", ".join(f"`{name}`" for name in names)
    statement = f"SELECT revision, {columns} FROM revisions WHERE imported_at IS NOT NULL AND revision IN :ids"  # noqa: S608
    with transaction(engine) as connection:
        rows = select_in_batches(connection, statement, revisions)
    for revision, *values in sorted(rows):
        yield revision, dict(zip(names, map(int, values), strict=True))


def etag_of(engine: Engine, revision: int) -> str | None:
    """Return the ETag of the imported file, or None if the revision is not imported."""
    with transaction(engine) as connection:
        statement = text("SELECT etag FROM revisions WHERE revision = :revision AND imported_at IS NOT NULL")
        return connection.execute(statement, {"revision": revision}).scalar()


def attempts(engine: Engine, revisions: Iterable[int]) -> dict[int, tuple[datetime | None, datetime | None]]:
    """Return the last import and the last failure of each revision; revisions without an attempt are left out."""
    wanted = set(revisions)
    with transaction(engine) as connection:
        found = connection.execute(text("SELECT revision, imported_at, failed_at FROM revisions")).all()
    return {row[0]: (row[1], row[2]) for row in found if row[0] in wanted}


def failures(engine: Engine, most: int = 20) -> list[tuple[int, str]]:
    """Return the revisions whose last attempt failed, with the reason, ascending."""
    with transaction(engine) as connection:
        found = connection.execute(
            text("SELECT revision, error FROM revisions WHERE error IS NOT NULL ORDER BY revision LIMIT :most"),
            {"most": most},
        )
        return [(int(revision), str(words)) for revision, words in found]


def newest_fact(engine: Engine, now: datetime) -> datetime | None:
    """Return the newest time of any fact. Times in the future, from a visitor's wrong clock, are ignored."""
    with transaction(engine) as connection:
        statement = text("SELECT MAX(t_max) FROM revisions WHERE t_max <= :now")
        found: datetime | None = connection.execute(statement, {"now": now}).scalar()
    return found


def unbalanced(engine: Engine, revisions: Iterable[int] | None = None) -> list[int]:
    """Find imported revisions whose lines do not add up. Expected: none.

    Args:
        engine: the warehouse.
        revisions: check only these; None: all.
    """
    condition = "imported_at IS NOT NULL AND `lines` <> imported + ignored + blank + rejected"
    with transaction(engine) as connection:
        found = connection.execute(text(f"SELECT revision FROM revisions WHERE {condition} ORDER BY revision"))  # noqa: S608
        wrong = [int(revision) for (revision,) in found]
    wanted = None if revisions is None else set(revisions)
    return [revision for revision in wrong if wanted is None or revision in wanted]


def totals(engine: Engine) -> Totals:
    """Read the sums over the whole ledger."""
    summed = ", ".join(f"CAST(COALESCE(SUM(`{name}`), 0) AS SIGNED)" for name in Totals._fields[3:11])
    with transaction(engine) as connection:
        row = connection.execute(
            text(
                "SELECT COALESCE(SUM(etag IS NOT NULL AND imported_at IS NOT NULL), 0), "  # noqa: S608 - our columns
                "COALESCE(SUM(etag IS NULL AND imported_at IS NOT NULL), 0), COALESCE(SUM(error IS NOT NULL), 0), "
                f"{summed}, MIN(t_min), MAX(t_max) FROM revisions"
            )
        ).one()
    counts = [int(value) for value in row[:11]]
    return Totals._make([*counts, row[11], row[12]])
