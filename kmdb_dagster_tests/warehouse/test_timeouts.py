"""Timeouts: nothing waits longer for a server that stops answering while its sockets stay open."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from sqlalchemy import Engine

from dev.servers import MARIADB, Server, running
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import TransientError
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse.connection import server as connections
from kmdb_dagster.warehouse.connection.server import connect, execute_ddl, transaction
from kmdb_dagster.warehouse.loading.load_data import bulk_insert
from kmdb_dagster.warehouse.maintenance import indexes
from testing.databases import empty_database, make_tables
from testing.revisions import one

TIMEOUT_SECONDS = 2
PATIENCE_SECONDS = 30
"""What a busy machine may add."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of these tests, which they stop."""
    with running(MARIADB, tmp_path_factory.mktemp("stopped")) as server:
        yield server


@pytest.fixture
def engine(own: Server) -> Iterator[Engine]:
    """Connections with a short timeout."""
    with empty_database(own.url) as url:
        make_tables(url)
        opened = connect(database_url(url), TIMEOUT_SECONDS)
        yield opened
        opened.dispose()


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """The server's process is stopped, and goes on afterwards."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


@contextmanager
def given_up_in_time() -> Iterator[None]:
    """What is done ends as transient, soon after the timeout."""
    started = time.monotonic()
    with pytest.raises(TransientError, match="the connection was lost, or the server did not answer"):
        yield
    assert time.monotonic() - started < TIMEOUT_SECONDS + PATIENCE_SECONDS


def test_a_statement_without_an_answer_times_out_and_later_ones_succeed(own: Server, engine: Engine) -> None:
    with given_up_in_time(), transaction(engine) as connection, stopped(own):
        connection.exec_driver_sql("SELECT COUNT(*) FROM users")
    assert one(engine, "SELECT COUNT(*) FROM users") == 0


def test_a_load_into_a_stopped_server_times_out(own: Server, engine: Engine) -> None:
    many = 200_000
    at = [datetime.now(UTC).replace(tzinfo=None)] * many
    rows = pa.table({"id": range(many), "t": at, "n": [1] * many, "user_id": [1] * many, "identity_id": [1] * many})
    with given_up_in_time(), transaction(engine) as connection:
        connection.exec_driver_sql("SELECT 1")
        with stopped(own):
            bulk_insert(connection, "events", rows)
    assert one(engine, "SELECT COUNT(*) FROM events") == 0


def test_a_connection_without_a_greeting_times_out(
    own: Server, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_SECONDS", TIMEOUT_SECONDS)
    fresh = connect(engine.url, TIMEOUT_SECONDS)
    with given_up_in_time(), stopped(own), transaction(fresh):
        pass


def test_the_lock_timeout_is_shorter_than_the_read_timeout(engine: Engine) -> None:
    assert one(engine, "SELECT @@innodb_lock_wait_timeout") == TIMEOUT_SECONDS // 2


def test_statements_over_whole_tables_have_a_longer_timeout(engine: Engine) -> None:
    longer = f"DO SLEEP({TIMEOUT_SECONDS + 1})"
    execute_ddl(engine, longer)
    indexes._execute(engine, longer)  # noqa: SLF001 - the build of an index, without a table that takes seconds


def test_keepalives_detect_a_host_that_is_gone(engine: Engine) -> None:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        with socket.socket(fileno=os.dup(driver.fileno())) as opened:
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == connections.KEEPALIVE["TCP_KEEPIDLE"]


def test_imports_have_the_configured_timeout_and_checks_have_a_day(kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMDB_DATABASE_TIMEOUT_SECONDS", "120")
    lock_seconds = "SELECT @@innodb_lock_wait_timeout"
    with kmdb.pipeline() as pipeline, kmdb.warehouse() as warehouse:
        assert one(pipeline.warehouse.engine, lock_seconds) == 60
        assert one(warehouse.engine, lock_seconds) == connections.LOCK_TIMEOUT_SECONDS
