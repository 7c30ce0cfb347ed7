"""Locks on a data folder: shared by the processes that write files, exclusive for one.

They are `flock` locks. The kernel releases them when a process ends in any way. On Linux they work over NFS.
"""

import errno
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kmdb_dagster.errors import TransientError
from kmdb_dagster.lake.files import translate_os_errors

WRITERS = ".writers.lock"
GATE = ".gate.lock"
"""Each writer passes it. A process that waits for the exclusive lock holds it, so no new writer starts."""

POLL_SECONDS = 0.05
NOT_SUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Hold the shared lock while writing files into a data folder. Do not nest.

    Without support for locks in the file system, the body runs without one.
    """
    with translate_os_errors(root), _opened(root / GATE) as gate, _opened(root / WRITERS) as writers:
        _lock_shared(gate)
        _lock_shared(writers)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


@contextmanager
def exclusive(root: Path, seconds: float) -> Iterator[None]:
    """Hold the exclusive lock: no other process writes, so any temporary file is a leftover.

    Args:
        root: the data folder.
        seconds: how long to wait for writers.

    Raises:
        TransientError: others were still writing after ``seconds``, or the file system supports no locks.
    """
    deadline = time.monotonic() + seconds
    with translate_os_errors(root), _opened(root / GATE) as gate, _opened(root / WRITERS) as writers:
        for file in (gate, writers):
            while not _lock_exclusive(file):
                if time.monotonic() > deadline:
                    raise TransientError(f"Imports have been writing to {root} for {seconds:.0f} seconds.")
                time.sleep(POLL_SECONDS)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    path.touch(mode=0o600)
    with path.open("r+b") as file:
        yield file


def _lock_shared(file: IO[bytes]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
    except OSError as error:
        # An import continues without the lock. An erasure fails, because it cannot be complete.
        if error.errno not in NOT_SUPPORTED:
            raise


def _lock_exclusive(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
