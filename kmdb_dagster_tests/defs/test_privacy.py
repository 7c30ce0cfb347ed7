"""Personal data and secrets are written to the database, the lake and Redis only.

Marked data goes through real processes of Dagster's, well and badly; then all that was written is looked through.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest

from dev.processes import alive, end, spawn, tail, wait_until
from kmdb_dagster.cli import ui
from kmdb_dagster.dagster_ext.instance import open_instance
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from testing.alert_receivers import Hook, serving
from testing.buckets import FolderOfRevisions, T, alias, event, line
from testing.revisions import change, one, rows

pytestmark = pytest.mark.xdist_group("daemon")  # in one process: each starts a daemon

PROGRAMS = Path(sys.executable).parent
MARK = "kZq7"
"""Stands in every identity, name, value and secret, and nowhere else."""
PATIENCE = 180.0
BOB, ANNA = f"bob.{MARK}@example.com", f"anna.{MARK}@example.com"
REFUSED = f'{{"_p":"{BOB}","_t":"when {MARK}"}}\n'.encode()
GOOD = (
    event(f"came {MARK}", BOB, plan=f"pro {MARK}"),
    line({"_p": ANNA, "_t": T, f"sex {MARK}": f"f {MARK}"}),
    alias(BOB, f"anon{MARK}="),
    REFUSED,
    b"\xff" + MARK.encode() + b"\n",
)


class Seen(NamedTuple):
    """What stood for all to see while it went on."""

    output: list[bytes]
    arguments: set[bytes]


@pytest.fixture
def home(  # noqa: PLR0917 - fixtures
    bare_environment: None,  # noqa: ARG001 - it is wanted for what it does
    database: str,
    bucket: FolderOfRevisions,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A DAGSTER_HOME, and settings with marks in what is secret."""
    found = tmp_path / "home"
    account = f"kmdb_private_{os.getpid()}"
    warehouse = Warehouse(database_url(database))
    change(
        warehouse.engine,
        f"CREATE USER '{account}'@'%' IDENTIFIED BY 'pw{MARK}'",
        f"GRANT ALL ON {database.rpartition('/')[2]}.* TO '{account}'@'%'",
    )
    warehouse.close()
    settings = {
        "DATABASE_URL": database.replace("root@", f"{account}:pw{MARK}@"),
        "KMDB_LOCAL_BUCKET": str(bucket.folder),
        "KMDB_DATA_DIR": str(tmp_path / "lake"),
        "KMDB_REDIS_URL": redis_url,
        "AWS_SECRET_ACCESS_KEY": f"aws{MARK}",
        "AWS_SESSION_TOKEN": f"token{MARK}",
        "DAGSTER_HOME": str(found),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    ui.configure(found)
    return found


@contextmanager
def watching_arguments(found: set[bytes]) -> Iterator[None]:
    """Collect the arguments of every process of this user, again and again."""
    ended = threading.Event()

    def collect() -> None:
        while not ended.wait(0.1):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    found.add(path.read_bytes())
                except OSError:
                    continue

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def kmdb(seen: Seen, *arguments: str, told: str = "") -> int:
    """A command at a terminal."""
    command = [str(PROGRAMS / "kmdb"), *arguments]
    done = subprocess.run(command, input=told.encode(), capture_output=True, check=False)  # noqa: S603 - our own
    seen.output.extend((done.stdout, done.stderr))
    return done.returncode


def ended(instance: dg.DagsterInstance, count: int) -> bool:
    """Whether so many runs have come to their end."""
    return sum(run.is_finished for run in instance.get_runs()) >= count


def test_personal_data_and_secrets_are_only_in_database_lake_and_redis(
    home: Path, bucket: FolderOfRevisions, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(1, *GOOD)
    bucket.put(2, *[REFUSED] * 200)  # more than half of it: it fails
    bucket.put(3, event("came", ANNA), line({"_p": BOB, "_t": T, "_n": "x" * 100, f"{MARK}": "y"}))
    seen = Seen([], set())
    hook = Hook()
    monkeypatch.setenv("KMDB_ALERT_URLS", hook.url.replace("hushhush", f"hush{MARK}"))
    with serving(hook), watching_arguments(seen.arguments), open_instance() as instance:
        log = home / "daemon.log"
        daemon = spawn([str(PROGRAMS / "dagster-daemon"), "run", "-m", "kmdb_dagster.definitions"], log)
        try:
            # The sensor requests a run. One of its revisions fails, and an alert reports it.
            assert wait_until(lambda: not alive(daemon) or ended(instance, 1), PATIENCE), tail(log)
            assert wait_until(lambda: len(hook.taken) == 1, PATIENCE), tail(log)
            assert kmdb(seen, "status") == 0
            assert kmdb(seen, "filter", "ignore", "add", told=f"{ANNA}\n") == 0
            for shown in (("list",), ("ignore", "list"), ("preview",)):
                assert kmdb(seen, "filter", *shown) == 0
            assert kmdb(seen, "filter", "ignore", "remove", "-", told=f"{ANNA}\n") == 0
            assert kmdb(seen, "forget", "--later", "--yes", told=f"{BOB}\n") == 0
        finally:
            end(daemon)
        run = ["job", "execute", "-m", "kmdb_dagster.definitions", "-j"]
        command = [str(PROGRAMS / "dagster"), *run, "forget"]
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - Dagster's own
        seen.output.extend((done.stdout, done.stderr))
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        monkeypatch.setenv("DATABASE_URL", os.environ["DATABASE_URL"].replace("pw", "wrong"))
        assert kmdb(seen, "status") == 1
    assert [name for (name,) in rows(warehouse.engine, "SELECT name FROM users")] == [ANNA]
    assert one(warehouse.engine, "SELECT COUNT(*) FROM rejected_lines") == 1
    written = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert len(written) > 5
    assert [path for path, content in written.items() if MARK.encode() in content] == []
    assert [output for output in seen.output if MARK.encode() in output] == []
    # The code server starts a run's process by multiprocessing.
    assert any(b"spawn_main" in arguments for arguments in seen.arguments)
    assert [arguments for arguments in seen.arguments if MARK.encode() in arguments] == []
    assert MARK not in str(hook.taken)
