"""Revisions put into a warehouse without a bucket, and what the warehouse then holds, by name and not by id."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import Engine, event, text

from kmdb_dagster.erasure.redaction import Redactor
from kmdb_dagster.km_export.reader import read_lines
from kmdb_dagster.lake import ParsedFile, ParsedRevision, RawFile, write_parsed
from kmdb_dagster.lake.parsed import SCHEMA
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.revision import ResolveCounts, resolve_revisions
from kmdb_dagster.warehouse.identity.user_map import move_facts
from kmdb_dagster.warehouse.interning.lookup import UnresolvedError
from kmdb_dagster.warehouse.ledger.ledger import Entry
from kmdb_dagster.warehouse.loading.revision import load_revisions

BATCH = 100
PATIENCE = 30.0
"""Seconds that a thread of a test is waited for."""
SECONDS_UNTIL_BLOCKED = 0.5
"""After which a statement in another thread counts as blocked by a lock."""

PEOPLE = (
    "SELECT i.name, u.name FROM user_map m JOIN users i ON i.id = m.identity_id LEFT JOIN users u ON u.id = m.user_id"
)
SELECT_EVENTS = """
    SELECT e.id, e.t, k.string, i.name, u.name FROM events e LEFT JOIN `keys` k ON k.id = e.n
    LEFT JOIN users i ON i.id = e.identity_id LEFT JOIN users u ON u.id = e.user_id ORDER BY e.id
"""
SELECT_PROPERTIES = """
    SELECT p.id, p.t, k.string, p.value, p.event_id, i.name, u.name FROM properties p LEFT JOIN `keys` k ON k.id = p.key
    LEFT JOIN users i ON i.id = p.identity_id LEFT JOIN users u ON u.id = p.user_id ORDER BY p.id
"""
MISPLACED = """
    SELECT COUNT(*) FROM (
    SELECT identity_id, user_id FROM events UNION ALL SELECT identity_id, user_id FROM properties
    ) f
    LEFT JOIN user_map m ON m.identity_id = f.identity_id WHERE m.user_id IS NULL OR m.user_id <> f.user_id
"""


LEDGER = ", ".join(f"`{column}`" for column in Entry._fields)


def record(**cells: Any) -> pa.RecordBatch:
    """Return a record as it is read from Parquet."""
    return pa.RecordBatch.from_pylist([{"revision": 1, "properties": [], **cells}], schema=SCHEMA)


def etag_of(lines: Iterable[bytes]) -> str:
    """Return the ETag that S3 gives to a file of these lines."""
    return md5(b"".join(lines), usedforsecurity=False).hexdigest()


class Revisions:
    """Puts revisions into a warehouse; their Parquet is in a folder."""

    def __init__(self, warehouse: Warehouse, folder: Path) -> None:
        self.warehouse = warehouse
        self.folder = folder

    def parsed(self, revision: int, *lines: bytes) -> ParsedFile:
        """Write the Parquet of these lines."""
        path = self.folder / f"{revision}.parquet"
        write_parsed(path, revision, RawFile(None, etag_of(lines), sum(map(len, lines))), read_lines(lines))
        return ParsedFile(path, revision)

    def resolve(self, revision: int, *lines: bytes) -> ResolveCounts:
        """Resolve lines without moving facts."""
        return self.resolve_parsed(revision, self.parsed(revision, *lines))

    def resolve_parsed(self, revision: int, parsed: ParsedRevision) -> ResolveCounts:
        """Resolve a Parquet without moving facts."""
        return resolve_revisions(self.warehouse, [parsed], batch_size=BATCH, make_redactor=Redactor)[revision]

    def load(self, revision: int, *lines: bytes) -> Entry:
        """Load lines, and resolve them first if necessary, as the pipeline does."""
        parsed = self.parsed(revision, *lines)
        try:
            return self.load_parsed(revision, parsed)
        except UnresolvedError:
            self.resolve_parsed(revision, parsed)
            return self.load_parsed(revision, parsed)

    def load_parsed(self, revision: int, parsed: ParsedRevision) -> Entry:
        """Load a Parquet that is resolved."""
        return load_revisions(self.warehouse.engine, [parsed], batch_size=BATCH, make_redactor=Redactor)[revision]

    def put(self, revision: int, *lines: bytes) -> Entry:
        """Resolve, move facts and load."""
        self.resolve(revision, *lines)
        move_facts(self.warehouse.engine)
        return self.load(revision, *lines)


def rows(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def one(engine: Engine, statement: str) -> Any:
    """Return the single value of a query."""
    return rows(engine, statement)[0][0]


def change(engine: Engine, *statements: str) -> None:
    """Execute statements in one transaction, as an operator does by hand."""
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def people(engine: Engine) -> dict[str, str]:
    """Read the user map by names: identity to person."""
    return {str(identity): str(person) for identity, person in rows(engine, PEOPLE)}


def content(engine: Engine) -> dict[str, Any]:
    """Read all content that must converge."""
    return {
        "people": people(engine),
        "events": rows(engine, SELECT_EVENTS),
        "properties": rows(engine, SELECT_PROPERTIES),
        "aliases": rows(engine, "SELECT id, t, name1, name2 FROM aliases ORDER BY id"),
        "rejected": rows(engine, "SELECT revision, line, reason, raw FROM rejected_lines ORDER BY revision, line"),
        "pending": one(engine, "SELECT (SELECT COUNT(*) FROM pending_moves) + (SELECT COUNT(*) FROM pending_spans)"),
        "ledger": rows(engine, f"SELECT revision, {LEDGER} FROM revisions ORDER BY revision"),  # noqa: S608 - ours
    }


def misplaced(engine: Engine) -> int:
    """Count the facts that carry another person than the user map."""
    return int(one(engine, MISPLACED))


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition of another thread or the server is true."""
    end = time.monotonic() + PATIENCE
    while True:
        # Wait first: InnoDB caches its list of locks for 0.1 seconds, even from the previous test.
        time.sleep(0.12)
        if condition():
            return
        assert time.monotonic() < end, "it took too long"


def locks_waited_for(engine: Engine) -> int:
    """Count the transactions of the server that wait for a lock."""
    return int(one(engine, "SELECT COUNT(*) FROM INFORMATION_SCHEMA.INNODB_TRX WHERE trx_state = 'LOCK WAIT'"))


@contextmanager
def at_the_statement(engine: Engine, begin: str, work: Any) -> Iterator[None]:
    """Do something in another thread right before a statement that begins so, and let it end if nothing blocks it."""
    started: list[Future[Any]] = []

    def interrupt(_connection: object, _cursor: object, sent: str, *_: object) -> None:
        if sent.startswith(begin) and not started:
            started.append(pool.submit(work))
            wait(started, SECONDS_UNTIL_BLOCKED)

    with ThreadPoolExecutor(1) as pool:
        event.listen(engine, "before_cursor_execute", interrupt)
        yield
        event.remove(engine, "before_cursor_execute", interrupt)
        for future in started:
            future.result()
