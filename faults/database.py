"""The database server under test: one that this program starts, or a given one with the command that restarts it."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import MySQLdb

from dev.processes import DevError, wait_until
from dev.servers import HOST, Kind, start, stop
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse.connection.server import Server, autocommit, connect, server_of

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
        """Return the kind and version of the server."""
        with autocommit(self.admin) as connection:
            return server_of(connection)

    def pid(self) -> int:
        """Return the pid of the server, from its pid file."""
        return int((self._folder() / self._setting("pid_file")).read_text("ascii"))

    def kill(self) -> bool:
        """Kill the server (SIGKILL). Return whether it ended."""
        pid = self.pid()
        self.admin.dispose()
        os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):  # a server that another process started
            # MySQL does not start while a process with the pid of its pid file exists, even a zombie.
            os.waitpid(pid, 0)
        return wait_until(lambda: not self._answers(), PATIENCE)

    def snapshot(self, copy: Path) -> None:
        """Copy the data directory as a crash at this moment leaves it. The server restarts."""
        folder = self._folder()
        self.kill()
        _replace(copy, folder)
        self.start()

    def restore(self, copy: Path) -> None:
        """Put a copy of the data directory back, and restart the server on it."""
        folder = self._folder()
        self.kill()
        _replace(folder, copy)
        self.start()

    def set(self, **settings: object) -> None:
        """Change global settings until the next restart."""
        with autocommit(self.admin) as connection:
            for name, value in settings.items():
                connection.exec_driver_sql(f"SET GLOBAL {name} = {value}")

    def start(self) -> None:
        """Restart the server on its data, and wait until it answers."""
        self._again()
        if not wait_until(self._answers, PATIENCE):
            raise DevError(f"{self.url} does not answer again.")

    def recreate(self, name: str) -> str:
        """Drop and create the database."""
        with autocommit(self.admin) as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return f"{self.url}/{name}"

    def _folder(self) -> Path:
        return Path(self._setting("datadir"))

    def _setting(self, name: str) -> str:
        with autocommit(self.admin) as connection:
            return str(connection.exec_driver_sql(f"SELECT @@{name}").scalar_one())

    def _answers(self) -> bool:
        try:
            MySQLdb.connect(host=HOST, port=self.port, user="root", connect_timeout=2).close()
        except MySQLdb.OperationalError:
            return False
        return True


def _replace(target: Path, source: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=_sockets)


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_socket()]


@contextmanager
def own(kind: Kind, folder: Path) -> Iterator[Database]:
    """Run a MariaDB or MySQL for the duration of the block."""
    started = [start(kind, folder)]
    try:
        yield Database(started[0].url, lambda: started.append(start(kind, folder, started[0].port)))
    finally:
        stop(started[-1])


@contextmanager
def given(url: str, again: str) -> Iterator[Database]:
    """Use a server of another process. ``again`` is the command that restarts it after a crash."""

    def run() -> None:
        if not again:
            raise DevError("Say with --again how this server is started when it was killed.")
        subprocess.run(shlex.split(again), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - what the caller typed

    yield Database(url, run)
