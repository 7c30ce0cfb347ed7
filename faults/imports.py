"""An import: Dagster's run over all revisions, in a process of its own that can be stopped at any moment, or killed.

It is forked from a server that has loaded Dagster once (`faults.warm`), so it takes a second and not four. A moment is
before or after a statement of the run, or before a commit.
"""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import dagster as dg
from sqlalchemy import Engine, event

from kmdb_dagster.dagster_ext import revision_steps
from kmdb_dagster.dagster_ext.partition_registry import register
from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START
from kmdb_dagster.definitions import definitions
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.pipeline import in_groups, steps
from kmdb_dagster.warehouse.connection.mysql_errors import error_number

PATIENCE = 300.0
"""Seconds without a word from a run, after which it hangs."""

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["faults.warm"])

STRUCK = "struck"

GROUPS = ((1, 0), (2, steps.MAX_BYTES_IN_MEMORY), (8, steps.MAX_BYTES_IN_MEMORY))
"""How runs form groups, and how much they hold in memory, in turn: an export of a few revisions would be one group."""


class Limits(NamedTuple):
    """Timeouts of a run in seconds; 0 keeps the default."""

    lock_wait: int = 0
    read_timeout: int = 0
    """For an answer of the database. KMDB_DATABASE_TIMEOUT_SECONDS allows no less than two minutes."""

    def apply(self) -> None:
        """Apply the timeouts to all connections to MySQL that are opened from now on."""
        if self.lock_wait:
            event.listen(Engine, "connect", lambda raw, _: self._wait_for_locks(raw))
        if self.read_timeout:
            event.listen(Engine, "do_connect", lambda dialect, _, __, parameters: self._time_out(dialect, parameters))

    def _wait_for_locks(self, raw: Any) -> None:
        if hasattr(raw, "warning_count"):  # a connection to MySQL
            raw.cursor().execute(f"SET SESSION innodb_lock_wait_timeout = {self.lock_wait}")

    def _time_out(self, dialect: Any, parameters: dict[str, Any]) -> None:
        if dialect.name == "mysql":
            parameters.update(read_timeout=self.read_timeout, write_timeout=self.read_timeout)


NO_LIMITS = Limits()


class Outcome(NamedTuple):
    """How a run ended."""

    success: bool
    words: str
    """What the run's page says of its failure."""
    errors: tuple[int, ...] = ()
    """MySQL's numbers of the errors that it met."""
    moments: int = 0
    """How many it had."""


KILLED = Outcome(success=False, words="(killed)")


class HungError(Exception):
    """A run did not end in time."""


class Import:
    """A started run. ``at`` is the moment in which it waits for `strike` to return; 0 for none."""

    def __init__(
        self, settings: Mapping[str, str], revisions: Sequence[int], *, at: int = 0, limits: Limits = NO_LIMITS
    ) -> None:
        self._pipe, theirs = PROCESSES.Pipe()
        arguments = (theirs, dict(settings), (revisions[0], revisions[-1]), at, limits)
        self._process = PROCESSES.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Return the pid of the run."""
        assert self._process.pid is not None
        return self._process.pid

    def kill(self) -> None:
        """Kill the run (SIGKILL)."""
        os.kill(self.pid, signal.SIGKILL)

    def finish(self, strike: Callable[["Import"], object] = lambda _: None) -> Outcome:
        """Wait for the end of the run, and call ``strike`` in its moment.

        Raises:
            HungError: it does not end.
        """
        try:
            while self._pipe.poll(PATIENCE):
                said = self._pipe.recv()
                if said != STRUCK:
                    self._process.join()
                    return Outcome(*said)
                strike(self)
                self._pipe.send(None)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join()
            return KILLED
        self.kill()
        raise HungError(f"A run said nothing for {PATIENCE:g} seconds.")


def _work(pipe: Connection, settings: Mapping[str, str], span: tuple[int, int], at: int, limits: Limits) -> None:
    os.environ |= settings
    logging.disable(logging.CRITICAL)
    moments, errors = [0], []

    def count(connection: Any, *_: object) -> None:
        # Dagster's own history is in SQLite.
        if connection.dialect.name == "mysql":
            moments[0] += 1
            if moments[0] == at:
                pipe.send(STRUCK)
                pipe.recv()

    # Moments are drawn from those of the run without any: it has the largest groups, so the fewest moments.
    max_revisions, steps.MAX_BYTES_IN_MEMORY = GROUPS[(at - 1) % len(GROUPS)]
    revision_steps.in_groups = partial(in_groups, max_revisions=max_revisions)  # type: ignore[attr-defined]
    with dg.DagsterInstance.ephemeral() as instance:
        kmdb = Kmdb()
        with kmdb.warehouse() as warehouse:
            register(instance, warehouse, *span)
        for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
            event.listen(Engine, name, count)
        event.listen(Engine, "handle_error", lambda context: errors.append(error_number(context.sqlalchemy_exception)))
        limits.apply()
        tags = {RANGE_START: str(span[0]), RANGE_END: str(span[1])}
        job = definitions().resolve_job_def("import_revisions")
        result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    pipe.send((result.success, _words(result), tuple(errors), moments[0]))


def _words(result: dg.ExecuteInProcessResult) -> str:
    failures = [event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_FAILURE]
    errors = [event.step_failure_data.error for event in failures]
    # Below the layer that Dagster adds.
    return "\n".join((error.cause or error).message for error in errors if error).strip()
