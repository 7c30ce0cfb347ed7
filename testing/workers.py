"""Processes that import concurrently, or are killed during an import.

They are forked from a server that has imported everything once: starting one costs milliseconds.
"""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple
from unittest.mock import Mock

from sqlalchemy import Engine, event

from kmdb_dagster.km_export.reader import read_lines
from kmdb_dagster.lake import Lake, ParsedRevision, RawFile, write_parsed
from kmdb_dagster.pipeline import Pipeline, apply_moves, load, open_parsed, resolve
from kmdb_dagster.settings import database_url
from kmdb_dagster.source import Bucket
from kmdb_dagster.warehouse import Warehouse
from testing.revisions import etag_of

LONGEST_PAUSE = 0.03
"""Seconds."""

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


class Run(NamedTuple):
    """An import of revisions whose Parquet is in a lake, in groups of these sizes in turn."""

    lake: Path
    revisions: Sequence[int]
    numeric_apart: bool = False
    group_sizes: Sequence[int] = (1, 2, 8)

    def __call__(self, warehouse: Warehouse) -> None:
        """Import the revisions, as Dagster's run does."""
        lake, bucket = Lake(self.lake), Mock(spec=Bucket)
        pipeline = Pipeline(
            bucket,
            lake,
            warehouse,
            batch_size=3,
            keep_files=False,
            max_rejected_share=1,
            numeric_apart=self.numeric_apart,
        )
        waiting: list[ParsedRevision] = []
        for numbers in self._groups():
            group = [open_parsed(pipeline, number) for number in numbers]
            resolve(pipeline, group)
            # As in a run, the group before is loaded when this one is resolved.
            if waiting:
                load(pipeline, waiting)
            waiting = group
        if waiting:
            load(pipeline, waiting)
        apply_moves(pipeline)

    def _groups(self) -> Iterator[Sequence[int]]:
        left = list(self.revisions)
        for size in cycle(self.group_sizes):
            if not left:
                return
            yield left[:size]
            del left[:size]


def parse(lake: Path, revision: int, lines: Sequence[bytes]) -> None:
    """Write the Parquet of a revision."""
    Lake(lake).prepare()
    raw = RawFile(None, etag_of(lines), sum(map(len, lines)))
    write_parsed(Lake(lake).parsed(revision), revision, raw, read_lines(lines))


class Worker:
    """A process that executes runs."""

    def __init__(self, database: str) -> None:
        self._pipe, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(target=_work, args=(theirs, database), daemon=True)
        self._process.start()

    def start(self, runs: Sequence[Run]) -> None:
        """Start the runs."""
        self._pipe.send(runs)

    def finish(self) -> None:
        """Wait for the end of the runs, and fail with their error."""
        failure = self._pipe.recv()
        assert failure is None, failure

    def end(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join()


@contextmanager
def workers(database: str, count: int) -> Iterator[list[Worker]]:
    """Run worker processes for the duration of the block."""
    team = [Worker(database) for _ in range(count)]
    try:
        yield team
    finally:
        for worker in team:
            worker.end()


def at_once(team: Sequence[Worker], shares: Sequence[Sequence[Run]]) -> None:
    """Let each worker execute its share, concurrently."""
    for worker, runs in zip(team, shares, strict=True):
        worker.start(runs)
    for worker in team:
        worker.finish()


def _work(pipe: Connection, database: str) -> None:
    warehouse = Warehouse(database_url(database))
    # Pause at random, so that other processes interleave between any two statements.
    pauses = random.Random(database)
    count_moments(warehouse.engine, lambda _: time.sleep(LONGEST_PAUSE * pauses.random() ** 50))
    while runs := pipe.recv():
        try:
            for run in runs:
                run(warehouse)
        except Exception as error:  # noqa: BLE001 - told to the test
            pipe.send(repr(error))
        else:
            pipe.send(None)
    warehouse.close()


def killed_at(database: str, runs: Sequence[Run], moment: int) -> bool:
    """Execute runs in a process that kills itself at a moment. Return whether it was killed before its end."""
    process = PROCESSES.Process(target=_work_until, args=(database, runs, moment))
    process.start()
    process.join()
    assert process.exitcode in {0, -signal.SIGKILL}
    return process.exitcode != 0


def _work_until(database: str, runs: Sequence[Run], moment: int) -> None:
    warehouse = Warehouse(database_url(database))

    def take(number: int) -> None:
        if number == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    count_moments(warehouse.engine, take)
    for run in runs:
        run(warehouse)


def count_moments(engine: Engine, take: Callable[[int], object]) -> None:
    """Call ``take`` with the number of every moment: before and after each statement, before each commit."""
    number = 0

    def count(*_: object) -> None:
        nonlocal number
        number += 1
        take(number)

    for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(engine, name, count)
