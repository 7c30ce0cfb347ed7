"""Locks of a data folder: shared by writers, exclusive for erasure."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from kmdb_dagster.errors import TransientError
from kmdb_dagster.lake.locks import exclusive, writing

PROCESSES = multiprocessing.get_context("spawn")


def write_for_ever(root: Path, pipe: Connection) -> None:
    """In a process of its own."""
    with writing(root):
        pipe.send("writing")
        signal.pause()


def test_an_exclusive_lock_waits_for_all_writers(tmp_path: Path) -> None:
    with writing(tmp_path):
        with writing(tmp_path), pytest.raises(TransientError, match="have been writing to"), exclusive(tmp_path, 0.1):
            pass
        with pytest.raises(TransientError), exclusive(tmp_path, 0.1):
            pass
    with exclusive(tmp_path, 0.1):
        pass


def test_a_killed_process_releases_its_lock(tmp_path: Path) -> None:
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=write_for_ever, args=(tmp_path, theirs))
    process.start()
    assert ours.recv() == "writing"
    with pytest.raises(TransientError), exclusive(tmp_path, 0.1):
        pass
    os.kill(int(str(process.pid)), signal.SIGKILL)
    process.join()
    with exclusive(tmp_path, 5):
        pass
