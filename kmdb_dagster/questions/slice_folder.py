"""The temporary folder of a slice: deleted at the end, and swept later if its process was killed.

A folder holds values of properties, and gigabytes for a large question. Its process locks a file in it, and the kernel
releases the lock when the process ends in any way. So a folder whose lock is free is a leftover.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "kmdb-slice-"
LOCK = "in-use"

_open_folders: set[Path] = set()
"""The folders of this process."""


@contextmanager
def slice_folder() -> Iterator[Path]:
    """Make a folder for one slice, and delete it at the end. Leftovers of killed processes are deleted before."""
    sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    _open_folders.add(folder)
    try:
        with (folder / LOCK).with_suffix(".new").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The name appears with the lock held: a sweep never sees a folder in use with a free lock.
            (folder / LOCK).with_suffix(".new").rename(folder / LOCK)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _open_folders.discard(folder)


def delete_open_folders() -> None:
    """Delete the folders of this process, which is about to exit."""
    for folder in tuple(_open_folders):
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Delete the folders that killed processes left. Folders of other users are skipped."""
    for lock in parent.glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError), lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
