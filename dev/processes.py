"""Processes of their own session: start them, find out whether they run, end them with their children.

Linux only: it reads /proc. What the processes are (servers, Dagster's daemon) is not known here.
"""

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# Debian puts servers into folders that are not on every PATH.
SERVER_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"


class DevError(Exception):
    """A failure that a developer has to fix; the message says what and where."""


class Process(NamedTuple):
    """A process, identified by pid and start time, because pids are reused."""

    pid: int
    started: int
    """When, in the kernel's ticks since boot."""


class _Stat(NamedTuple):
    """The state of a process in /proc."""

    state: str
    session: int
    started: int


def find_program(name: str) -> str:
    """Return the path of a program.

    Raises:
        DevError: it is not installed.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{SERVER_FOLDERS}")
    if found is None:
        raise DevError(f"{name} is not installed. Run dev/bootstrap, which installs what is missing.")
    return found


def spawn(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None = None, *, outlives_starter: bool = False
) -> Process:
    """Start a process in its own session and without input.

    Args:
        command: The program and its arguments.
        log: The file that its output is appended to.
        env: Its environment; None: that of this process.
        outlives_starter: Whether it goes on when this process ends. Otherwise it is ended then, even if this process
            is killed.

    Raises:
        DevError: The program is not installed, or it ended at once.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    pid = _spawn(command, log, os.environ if env is None else env)
    stat = _stat(pid)
    if stat is None:  # it stays in the table of processes until this one asks how it ended
        raise DevError(f"{command[0]} went away as it was started. Its log: {log}")
    process = Process(pid, stat.started)
    if not outlives_starter:
        _guard(process, log)
    return process


def _guard(process: Process, log: Path) -> None:
    """Start `dev.guard`, which ends the process when this one has ended."""
    this = _stat(os.getpid())
    assert this is not None  # noqa: S101 - this process runs
    arguments = [os.getpid(), this.started, *process]
    command = [sys.executable, "-m", "dev.guard", *map(str, arguments)]
    _spawn(command, log, {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)})


def _spawn(command: Sequence[str], log: Path, env: Mapping[str, str]) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        find_program(command[0]),
        list(command),
        env,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        # A background job of a shell ignores SIGINT and would hand that down. Dagster, which takes SIGTERM for
        # SIGINT, could then be ended by neither.
        setsigdef=[signal.SIGINT, signal.SIGTERM],
    )


def alive(process: Process) -> bool:
    """Return whether a process still runs."""
    with suppress(ChildProcessError):  # not a child of this process: its parent collects the exit status
        os.waitpid(process.pid, os.WNOHANG)
    stat = _stat(process.pid)
    return stat is not None and stat.started == process.started and stat.state != "Z"


def end(process: Process, patience: float = 30.0, grace: float = 5.0) -> None:
    """End a process and everything in its session.

    Args:
        process: It is asked, and has ``patience`` seconds.
        patience: Seconds for it to end, and to end what it has started.
        grace: Seconds for what is left then, until it is killed.

    Raises:
        DevError: something is left all the same.
    """
    if alive(process):
        # First the process alone: a server ends its own children in order.
        _signal([process.pid], signal.SIGTERM)
        wait_until(lambda: not alive(process), patience)
    for sign, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        _signal(_session(process), sign)
        if wait_until(lambda: not _session(process), seconds):
            return
    raise DevError(f"Process {process.pid} cannot be ended: {_session(process)} still run.")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition. Return whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log."""
    if not log.exists():
        return "(there is no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def free_port(preferred: int = 0) -> int:
    """Return a free port of 127.0.0.1: the preferred one if it is free."""
    with socket.socket() as probe:
        # As servers do: a recently closed connection does not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return free_port()
        return int(probe.getsockname()[1])


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses, with any characters.
    fields = text.rpartition(")")[2].split()
    return _Stat(fields[0], int(fields[3]), int(fields[19]))


def _session(process: Process) -> list[int]:
    """Return the running processes of the session that ``process`` leads or led."""
    leader = _stat(process.pid)
    if leader is not None and leader.started != process.started:
        return []  # its number was given to another process, so nothing of its session is left
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    stats = {pid: _stat(pid) for pid in numbers}
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return [pid for pid, stat in stats.items() if stat and stat.session == process.pid and stat.state != "Z"]


def _signal(pids: Sequence[int], sign: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, sign)
