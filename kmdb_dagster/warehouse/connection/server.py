"""Connections to the server: engine, session settings, transactions, DDL, named locks, kind and version."""

import logging
import os
import re
import socket
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, NullPool, Pool, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from tenacity import before_sleep_log, retry, retry_if_exception, stop_after_attempt, wait_random

from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.warehouse.connection.mysql_errors import (
    LOCK_WAIT_TIMEOUT,
    PACKET_TOO_LARGE,
    error_number,
    translate_mysql_errors,
)

log = logging.getLogger(__name__)

INIT_COMMAND = (
    "SET SESSION "
    # Times in the database are UTC whatever the server's zone.
    "time_zone = '+00:00', "
    # A value that does not fit is an error, never cut.
    "sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
    # A commit of facts may wait for `kmdb realias`, longer than the default of 50 seconds.
    "innodb_lock_wait_timeout = {lock_seconds}"
    # Remove a time limit of the server for statements. Each server runs its own conditional comment only.
    "/*M!100100 , max_statement_time = 0 */ /*!80000 , max_execution_time = 0 */"
)

CONNECT_TIMEOUT_SECONDS = 10
LOCK_TIMEOUT_SECONDS = 300
LONG_STATEMENT_TIMEOUT_SECONDS = 24 * 3600
"""How long a statement over whole tables, or one that changes a table, may take."""

KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6, "TCP_USER_TIMEOUT": 120_000}
"""Socket options by which a host that is gone is noticed within two minutes. Linux would take two hours."""

IDS_PER_STATEMENT = 1000

DDL_LOCK_TIMEOUT_SECONDS = 5
MAX_DDL_ATTEMPTS = 40
"""How long, and how often, DDL waits for a table that is in use."""

STATEMENT_OVERHEAD_BYTES = 1024
"""Bytes of a statement with one row beside its largest value."""

ESCAPED = (b"\\", b"'", b'"', b"\0", b"\n", b"\r", b"\x1a")
"""Each of these is sent as two bytes."""


class Server(NamedTuple):
    """The kind and version of the server."""

    maria: bool
    version: tuple[int, ...]

    @property
    def exact_collation(self) -> str:
        """The collation in which only equal strings are equal: case, accents and trailing blanks count.

        ``utf8mb4_bin`` will not do: on both servers it takes 'bob ' for 'bob' (PAD SPACE).
        """
        return "utf8mb4_nopad_bin" if self.maria else "utf8mb4_0900_bin"

    def __str__(self) -> str:
        """Return the kind and version as text."""
        return f"{'MariaDB' if self.maria else 'MySQL'} {'.'.join(map(str, self.version))}"


def connect(url: URL, timeout_seconds: int = LONG_STATEMENT_TIMEOUT_SECONDS, pool: type[Pool] | None = None) -> Engine:
    """Create an engine for the warehouse. It connects at first use.

    Args:
        url: the database.
        timeout_seconds: how long a read or write waits for the server before the connection is dropped.
        pool: SQLAlchemy's class of the pool, in place of its own choice.
    """
    # The lock timeout must be shorter than the read timeout, or it ends the connection instead of the statement.
    session = INIT_COMMAND.format(lock_seconds=min(LOCK_TIMEOUT_SECONDS, max(1, timeout_seconds // 2)))
    engine = create_engine(
        url,
        # Without gap locks, runs that load different revisions do not wait for each other.
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        # Every transaction is already committed or rolled back: another ROLLBACK would be one more round trip.
        pool_reset_on_return=None,
        hide_parameters=True,
        poolclass=pool,
        connect_args={
            "init_command": session,
            # This timeout includes the server's greeting. The others apply to each later read and write.
            "connect_timeout": int(str(url.query.get("connect_timeout", CONNECT_TIMEOUT_SECONDS))),
            "read_timeout": timeout_seconds,
            "write_timeout": timeout_seconds,
            "local_infile": 1,
        },
    )
    event.listen(engine, "connect", _keep_alive)
    return engine


@contextmanager
def long_statements(engine: Engine) -> Iterator[Engine]:
    """Open an engine to the same server for statements that may take hours: DDL, or reading all facts."""
    dedicated = connect(engine.url, pool=NullPool)
    try:
        yield dedicated
    finally:
        dedicated.dispose()


def _keep_alive(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's, without types
    with socket.socket(fileno=os.dup(connection.fileno())) as opened:
        if opened.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction: commit at the end, roll back at an error. Translate errors (`translate_mysql_errors`)."""
    with translate_mysql_errors(engine), engine.begin() as connection:
        yield connection


@contextmanager
def autocommit(engine: Engine) -> Iterator[Connection]:
    """Open a connection that commits each statement by itself: for DDL, which an open transaction would block."""
    with translate_mysql_errors(engine), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


def _was_locked(error: BaseException) -> bool:
    """Whether a statement ended at a lock timeout, so nothing was done. After a lost connection it may have been."""
    return isinstance(error, TransientError) and f"({LOCK_WAIT_TIMEOUT})" in str(error)


@retry(
    retry=retry_if_exception(_was_locked),
    stop=stop_after_attempt(MAX_DDL_ATTEMPTS),
    wait=wait_random(1, 3),
    before_sleep=before_sleep_log(log, logging.WARNING),
    reraise=True,
)
def execute_ddl(engine: Engine, statement: str) -> None:
    """Execute DDL with a short lock timeout, and retry while transactions use the table.

    Statements queue behind waiting DDL, so a long wait can deadlock: a running transaction needs a row that another one
    holds, and that one needs the table. The server does not detect it, since only one of the locks is InnoDB's.

    Raises:
        TransientError: the table was in use all the time, for some minutes.
    """
    with long_statements(engine) as dedicated, autocommit(dedicated) as connection:
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {DDL_LOCK_TIMEOUT_SECONDS}")
        try:
            connection.exec_driver_sql(statement)
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql("SET SESSION lock_wait_timeout = DEFAULT")


def select_in_batches(connection: Connection, statement: str, ids: Collection[int]) -> list[tuple[Any, ...]]:
    """Select the rows of a statement with ``IN :ids``, in batches of ids.

    Args:
        connection: a transaction.
        statement: SQL with ``IN :ids``.
        ids: the ids, of any number.
    """
    found = (connection.exec_driver_sql(statement.replace(":ids", part)).all() for part in _lists_of(ids))
    return [tuple(row) for rows in found for row in rows]


def execute_in_batches(connection: Connection, statement: str, ids: Collection[int]) -> None:
    """Execute a statement with ``IN :ids``, in batches of ids.

    Args:
        connection: a transaction.
        statement: SQL with ``IN :ids``.
        ids: the ids, of any number.
    """
    for part in _lists_of(ids):
        connection.exec_driver_sql(statement.replace(":ids", part))


def _lists_of(ids: Collection[int]) -> Iterator[str]:
    """Yield the ids as lists for ``IN``. Literals, because parameters take ten times as long."""
    numbers = sorted(map(int, ids))
    for start in range(0, len(numbers), IDS_PER_STATEMENT):
        yield f"({','.join(map(str, numbers[start : start + IDS_PER_STATEMENT]))})"


def values_list(rows: Iterable[tuple[int, ...]]) -> str:
    """Render rows of two or more ints as the list after ``VALUES``. Parameters would cost ten times as much."""
    return ",".join(map(str, rows))


def insert(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows: mysqlclient makes multi-row statements of them, of about 64 KB each.

    Args:
        connection: a transaction.
        statement: ``INSERT … VALUES (%s, …)`` with a placeholder for each value of a row.
        rows: the rows; none is allowed.

    Raises:
        PermanentError: a value is larger than the server takes.
    """
    if not rows:
        return
    try:
        connection.exec_driver_sql(statement, rows)
    except DBAPIError as error:
        # The server closes the connection at a packet that is too large, sometimes without an error.
        if error.connection_invalidated or error_number(error) == PACKET_TOO_LARGE:
            connection.invalidate()
            _refuse_too_large(connection.engine, rows)
        raise


def _refuse_too_large(engine: Engine, rows: Sequence[tuple[Any, ...]]) -> None:
    largest = max(_bytes_on_the_way(value) for row in rows for value in row)
    with engine.connect() as connection:
        limit = int(connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one())
    if largest > limit - STATEMENT_OVERHEAD_BYTES:
        raise PermanentError(
            f"A value takes {largest:,} bytes on the way to the server, and its max_allowed_packet is {limit:,}: "
            "raise it to 64M."
        )


def _bytes_on_the_way(value: object) -> int:
    raw = value if isinstance(value, bytes) else str(value).encode()
    return len(raw) + sum(map(raw.count, ESCAPED))


@contextmanager
def named_lock(engine: Engine, name: str, seconds: int) -> Iterator[Connection]:
    """Hold a lock by name, exclusive within this database. The server releases it when the connection ends.

    Args:
        engine: the warehouse; the lock holds a connection of it.
        name: the name of the lock.
        seconds: how long to wait for another process.

    Raises:
        TransientError: another process held it for ``seconds``.
    """
    with autocommit(engine) as connection:
        # Lock names are server-wide and at most 64 characters long, so the database's name is hashed.
        digest = sha256(str(engine.url.database).encode()).hexdigest()[:16]
        parameters = {"name": f"kmdb.{name}.{digest}", "seconds": seconds}
        if connection.execute(text("SELECT GET_LOCK(:name, :seconds)"), parameters).scalar() != 1:
            raise TransientError(f"Another process has held the lock {name!r} for {seconds} seconds. Try again later.")
        try:
            yield connection
        finally:
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": parameters["name"]})


def server_of(connection: Connection) -> Server:
    """Read the kind and version of the server.

    Raises:
        PermanentError: it is older than MySQL 8.0.17 or MariaDB 10.6.
    """
    text = str(connection.exec_driver_sql("SELECT VERSION()").scalar_one())
    maria = "mariadb" in text.lower()
    numbers = re.findall(r"\d+", text.split("-", maxsplit=1)[0])
    server = Server(maria, tuple(map(int, numbers[:3])))
    # 8.0.17 brought utf8mb4_0900_bin; 10.6 brought SKIP LOCKED.
    if server.version < ((10, 6) if maria else (8, 0, 17)):
        raise PermanentError(f"The server is {server}. MySQL 8.0.17 or MariaDB 10.6 at the least is needed.")
    return server
