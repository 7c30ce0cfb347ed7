import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import MySQLdb
import pytest

from dev.fleet import Fleet
from dev.processes import DevError, Process, alive, end, free_port, spawn, wait_until
from dev.servers import HOST, KINDS, MARIADB, REDIS, answering, running, start


@pytest.mark.parametrize("name", KINDS)
def test_a_server_runs_inside_its_block_only(name: str, tmp_path: Path) -> None:
    with running(KINDS[name], tmp_path / name) as server:
        assert answering(server)

    assert not alive(server.process)


def test_a_server_ends_when_its_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), running(REDIS, tmp_path) as server:
        raise ZeroDivisionError

    assert not alive(server.process)


def test_mariadb_keeps_its_data_in_a_folder_with_a_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    for statement in ("CREATE DATABASE kept", "USE kept"):
        with running(MARIADB, folder) as server:
            MySQLdb.connect(host=HOST, port=server.port, user="root").cursor().execute(statement)


def test_a_port_in_use_is_not_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert free_port(port) != port
        server = start(REDIS, tmp_path, port)
        end(server.process)

    assert server.port != port


def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(DevError, match=r"Redis does not start(.|\n)*no-such-option"):
        start(REDIS, tmp_path, options=["--no-such-option", "1"])


def test_children_of_a_dead_process_are_ended(tmp_path: Path) -> None:
    note = tmp_path / "child"
    shell = f"trap '' TERM; sleep 1000 & echo $! >{note}; wait"
    leader = spawn(["sh", "-c", shell], tmp_path / "log")
    assert wait_until(lambda: note.exists() and note.read_text().endswith("\n"), 10)

    os.kill(leader.pid, signal.SIGKILL)
    end(leader, grace=0.5)

    child = int(note.read_text())
    assert wait_until(lambda: not Path(f"/proc/{child}").exists() or "\nState:\tZ" in _status(child), 5)


STARTER = """
import sys, time
from pathlib import Path
from dev.servers import REDIS, start
server = start(REDIS, Path(sys.argv[1]))
print(*server.process, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT], ids=lambda sign: sign.name)
def test_a_server_ends_when_the_process_that_started_it_is_killed(sign: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER, tmp_path], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        server = Process(*map(int, starter.stdout.readline().split()))
        assert alive(server)
        starter.send_signal(sign)

    assert wait_until(lambda: not alive(server), 30)


def test_a_process_can_be_interrupted_although_its_parent_ignores_the_signal(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = spawn([sys.executable, "-c", "import time; time.sleep(1000)"], tmp_path / "log")
    finally:
        signal.signal(signal.SIGINT, before)
    # Python's own handler is there once it has started.
    time.sleep(0.5)

    os.kill(process.pid, signal.SIGINT)

    assert wait_until(lambda: not alive(process), 10)
    end(process)


def test_a_fleet_reuses_its_server_and_replaces_a_dead_one(tmp_path: Path) -> None:
    first = Fleet(tmp_path).server(REDIS)
    try:
        assert Fleet(tmp_path).server(REDIS) == first

        os.kill(first.process.pid, signal.SIGKILL)
        second = Fleet(tmp_path).server(REDIS)

        assert second.process != first.process
        assert answering(second)
    finally:
        ended = Fleet(tmp_path).end_all()
    assert ended == ["Redis"]


def test_a_program_is_restarted_when_its_files_have_changed(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    try:
        first = fleet.program("sleeper", ["sleep", "1000"], os.environ, stamp="a")
        assert fleet.program("sleeper", ["sleep", "1000"], os.environ, stamp="a") == first

        second = fleet.program("sleeper", ["sleep", "1000"], os.environ, stamp="b")

        assert not alive(first)
        assert alive(second)
    finally:
        fleet.end_all()


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "\nState:\tZ"
