"""The database server that is to be killed: one of our own, or one that is given with how to start it again."""

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import MySQLdb
from sqlalchemy import text

from dev.processes import DevError, wait_until
from dev.servers import HOST, Kind, start, stop
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse.server import Server, autocommit, connect, server_of

PATIENCE = 120.0
"""Seconds for a server to be gone, or to answer again: it may have a crash to recover from."""


class Database:
    """A server on this machine, root without a password."""

    def __init__(self, url: str, again: Callable[[], object]) -> None:
        self.url = url.rstrip("/")
        self.admin = connect(database_url(f"{self.url}/mysql"))
        self.port = self.admin.url.port or 3306
        self._again = again

    def server(self) -> Server:
        """What it is."""
        with autocommit(self.admin) as connection:
            return server_of(connection)

    def kill(self) -> bool:
        """SIGKILL. Returns whether it is gone."""
        with autocommit(self.admin) as connection:
            folder, file = connection.execute(text("SELECT @@datadir, @@pid_file")).one()
        self.admin.dispose()
        os.kill(int((Path(folder) / file).read_text("ascii")), signal.SIGKILL)
        return wait_until(lambda: not self._answers(), PATIENCE)

    def start(self) -> None:
        """Start it again on the data that it had, and wait until it answers."""
        self._again()
        if not wait_until(self._answers, PATIENCE):
            raise DevError(f"{self.url} does not answer again.")

    def recreate(self, name: str) -> str:
        """An empty database."""
        with autocommit(self.admin) as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return f"{self.url}/{name}"

    def _answers(self) -> bool:
        try:
            MySQLdb.connect(host=HOST, port=self.port, user="root", connect_timeout=2).close()
        except MySQLdb.OperationalError:
            return False
        return True


@contextmanager
def own(kind: Kind, folder: Path) -> Iterator[Database]:
    """A MariaDB or MySQL for as long as the block lasts."""
    started = [start(kind, folder)]
    try:
        yield Database(started[0].url, lambda: started.append(start(kind, folder, started[0].port)))
    finally:
        stop(started[-1])


@contextmanager
def given(url: str, again: str) -> Iterator[Database]:
    """A server that somebody else started and will end. ``again`` is the command that starts it after a crash."""

    def run() -> None:
        if not again:
            raise DevError("Say with --again how this server is started when it was killed.")
        subprocess.run(shlex.split(again), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - what the caller typed

    yield Database(url, run)
