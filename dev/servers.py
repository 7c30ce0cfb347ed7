"""Private servers on free ports of 127.0.0.1: MariaDB, MySQL, Redis, and an S3 that lives in memory (moto).

    with running(MARIADB, tmp_path / "mariadb") as server:
        create_engine(f"{server.url}/test")

Data and log are in the folder, which outlives the server: started again on it, MariaDB has its data. Redis and S3
keep nothing.
"""

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import MySQLdb
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from dev import mysql
from dev.processes import DevError, Process, alive, end, find_program, free_port, spawn, tail, wait_until

HOST = "127.0.0.1"
PATIENCE = 120.0
"""Seconds for a server to answer. MariaDB may have a crash to recover from."""
TRIES = 3
"""Another process may take the port between the choice and the start of the server."""


@dataclass(frozen=True)
class Kind:
    """A kind of server, and how to start it."""

    name: str
    url: str
    """With a place for the port."""
    command: Callable[[Path, int], list[str]]
    """How to start it, given its folder and port."""
    answers: Callable[[int], bool]
    """Whether it does what it is for, given its port."""
    prepare: Callable[[Path], None] | None = None
    """What a new folder needs."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    kind: Kind
    process: Process
    port: int

    @property
    def url(self) -> str:
        """The URL of the server."""
        return self.kind.url.format(port=self.port)


@contextmanager
def running(kind: Kind, folder: Path, options: Sequence[str] = ()) -> Iterator[Server]:
    """Run a server for the duration of the block."""
    server = start(kind, folder, options=options)
    try:
        yield server
    finally:
        stop(server)


def start(
    kind: Kind, folder: Path, port: int = 0, options: Sequence[str] = (), *, outlives_starter: bool = False
) -> Server:
    """Start a server on the folder and wait until it answers.

    Args:
        kind: What to start.
        folder: Where its data and its log are; made if it is not there.
        port: The port to take if it is free.
        options: More of the server's own options, e.g. ``--innodb-buffer-pool-size=4G``.
        outlives_starter: Whether it goes on when this process ends, as in `dev.processes.spawn`.

    Raises:
        DevError: it did not come up; the message ends with the end of its log.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if kind.prepare:
        kind.prepare(folder)
    log = folder / "log"
    for _ in range(TRIES):
        port = free_port(port)
        command = [*kind.command(folder, port), *options]
        server = Server(kind, spawn(command, log, outlives_starter=outlives_starter), port)
        if _comes_up(server):
            return server
        gone = not alive(server.process)
        stop(server)
        if not gone:
            break
        port = 0
    raise DevError(f"{kind.name} does not start. The end of {log}:\n{tail(log)}")


def stop(server: Server) -> None:
    """End the server and everything it started."""
    end(server.process)


def answering(server: Server) -> bool:
    """Return whether a server runs and answers."""
    return server.kind.answers(server.port) and alive(server.process)


def _comes_up(server: Server) -> bool:
    wait_until(lambda: not alive(server.process) or server.kind.answers(server.port), PATIENCE)
    # Check the process last: if another server took the port, that one answers while ours has ended.
    return answering(server)


def _as_root() -> list[str]:
    """Return the option that lets MariaDB and MySQL run as root."""
    return ["--user=root"] if os.geteuid() == 0 else []


def _prepare_mariadb(folder: Path) -> None:
    if (folder / "data").exists():
        return
    fresh = folder / "data.new"  # becomes data when it is whole
    shutil.rmtree(fresh, ignore_errors=True)
    done = subprocess.run(
        [
            find_program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={fresh}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            *_as_root(),
        ],
        # Servers that start concurrently delete each other's files in a shared folder.
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DevError(f"mariadb-install-db failed in {folder}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    fresh.rename(folder / "data")


def _mariadb_command(folder: Path, port: int) -> list[str]:
    return [
        find_program("mariadbd"),
        "--no-defaults",
        *_as_root(),
        f"--datadir={folder / 'data'}",
        # Servers that share a folder delete each other's temporary files at their start.
        f"--tmpdir={folder / 'data'}",
        f"--port={port}",
        f"--bind-address={HOST}",  # root has no password
        "--skip-name-resolve",
        # No socket: its path may have at most 107 bytes, and folders of tests are longer.
        "--socket=",
        f"--pid-file={folder / 'pid'}",
        "--character-set-server=utf8mb4",
        "--local-infile=ON",
        "--max-connections=500",
        "--innodb-buffer-pool-size=512M",
        "--innodb-log-file-size=256M",
        # Data has to survive a crash of the server, not of the machine.
        "--innodb-flush-log-at-trx-commit=2",
        "--skip-log-bin",
    ]


def _database_answers(port: int) -> bool:
    try:
        connection = MySQLdb.connect(host=HOST, port=port, user="root", connect_timeout=2)
    except MySQLdb.OperationalError:
        return False
    connection.close()
    return True


def _prepare_mysql(folder: Path) -> None:
    if (folder / "data").exists():
        return
    fresh = folder / "data.new"  # becomes data when it is whole
    shutil.rmtree(fresh, ignore_errors=True)
    command = [*mysql.mysqld(), *_as_root(), f"--datadir={fresh}", "--secure-file-priv=", "--initialize-insecure"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DevError(f"mysqld --initialize-insecure failed in {folder}:\n{done.stderr[-2000:]}")
    fresh.rename(folder / "data")


def _mysql_command(folder: Path, port: int) -> list[str]:
    return [
        *mysql.mysqld(),
        *_as_root(),
        f"--datadir={folder / 'data'}",
        f"--port={port}",
        f"--bind-address={HOST}",  # root has no password
        # The path of a socket may have at most 107 bytes, and folders of tests are longer.
        f"--socket={tempfile.gettempdir()}/kmdb-mysql-{port}.sock",
        "--secure-file-priv=",  # its default is a folder that only the installed package has
        f"--pid-file={folder / 'pid'}",
        "--mysqlx=OFF",
        "--local-infile=ON",
        "--max-connections=500",
        "--innodb-buffer-pool-size=512M",
        "--innodb-redo-log-capacity=256M",
        "--innodb-flush-log-at-trx-commit=2",
        "--skip-log-bin",
    ]


def _redis_command(folder: Path, port: int) -> list[str]:
    where = ["--bind", HOST, "--port", str(port), "--dir", str(folder)]
    return [find_program("redis-server"), *where, "--save", "", "--appendonly", "no", "--daemonize", "no"]


def _redis_answers(port: int) -> bool:
    once = Retry(NoBackoff(), 0)  # waiting is done elsewhere
    with redis.Redis(host=HOST, port=port, socket_timeout=2, retry=once) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def _s3_command(_folder: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]


def _s3_answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


MARIADB = Kind("MariaDB", "mysql://root@127.0.0.1:{port}", _mariadb_command, _database_answers, _prepare_mariadb)
MYSQL = Kind("MySQL", "mysql://root@127.0.0.1:{port}", _mysql_command, _database_answers, _prepare_mysql)
REDIS = Kind("Redis", "redis://127.0.0.1:{port}/0", _redis_command, _redis_answers)
S3 = Kind("S3", "http://127.0.0.1:{port}", _s3_command, _s3_answers)
KINDS = {kind.name: kind for kind in (MARIADB, MYSQL, REDIS, S3)}
