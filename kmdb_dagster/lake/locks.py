"""Locks on a data folder: many processes write to it at a time, or one has it for itself.

They are `flock` locks, which the kernel releases when a process ends in any way. Linux carries them over NFS, too.
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
"""Writers pass it one after the other; who waits for all writers to end keeps it closed, so that no more come."""

POLL_SECONDS = 0.05
NOT_SUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Write files into a data folder. Others may write at the same time. Do not nest."""
    with translate_os_errors(root), _opened(root / GATE) as gate, _opened(root / WRITERS) as writers:
        _lock_shared(gate)
        _lock_shared(writers)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


@contextmanager
def exclusive(root: Path, seconds: float) -> Iterator[None]:
    """Have a data folder for yourself: all that others were writing is in its place, or was left by a killed process.

    Raises:
        TransientError: others were writing for so many seconds.
    """
    until = time.monotonic() + seconds
    with translate_os_errors(root), _opened(root / GATE) as gate, _opened(root / WRITERS) as writers:
        for file in (gate, writers):
            while not _lock_exclusive(file):
                if time.monotonic() > until:
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
        # An import goes on without; an erasure then fails in words, since it cannot be complete.
        if error.errno not in NOT_SUPPORTED:
            raise


def _lock_exclusive(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
