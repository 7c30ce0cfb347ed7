"""Starts runs as Dagster's default launcher does, and reports to run monitoring whether a run's process exists.

The code server that started a run reports its end, unless it is gone itself or cannot write to the history. Dagster
1.13 then leaves the run as started for ever, and it keeps its place in the queue
(docs/decisions/0016-runs-of-dead-machines.md).
"""

import json
import socket

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from kmdb_dagster.dagster_ext.run_process import RunProcess, is_supported

CONNECT_TIMEOUT_SECONDS = 5.0

PROCESS_TAG = "kmdb/process"
"""Identifies the process of a run, once run monitoring has seen it."""

GONE = (
    "the process of the run is gone: killed, or the machine went down. What the run did is kept. Dagster starts it "
    "again, which is safe"
)
ALIVE = CheckRunHealthResult(WorkerStatus.RUNNING)
DEAD = CheckRunHealthResult(WorkerStatus.NOT_FOUND, GONE)


class RunLauncher(dg.DefaultRunLauncher):
    """The launcher that dagster.yaml names. A run is dead when its process is, even if its code server lives."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Let run monitoring check runs."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Check whether the run's process exists; if it is unknown, whether its code server listens."""
        path = json.loads(run.tags.get(GRPC_INFO_TAG, "{}")).get("socket")
        if not path:
            # The code server is on another machine, or in another container, so the process cannot be checked.
            return ALIVE
        if is_supported():
            process = RunProcess.from_tag(run.tags.get(PROCESS_TAG), run.run_id)
            if process:
                return ALIVE if process.is_alive() else DEAD
            if started := self._start_of(run):
                return self._identify(run, *started)
        return ALIVE if _listened_on(path) else DEAD

    def _start_of(self, run: dg.DagsterRun) -> tuple[int, float] | None:
        """Read the id of the run's process, and when the run recorded it (seconds since 1970)."""
        for entry in self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            event = entry.dagster_event
            number = event.engine_event_data.metadata.get("pid") if event else None
            if number is not None:
                return int(str(number.value)), entry.timestamp
        return None

    def _identify(self, run: dg.DagsterRun, pid: int, known_at: float) -> CheckRunHealthResult:
        process = RunProcess.find(run.run_id, pid, known_at)
        if process is None:
            return DEAD
        # From now on the process is identified by its start, which no clock change affects.
        self._instance.add_run_tags(run.run_id, {PROCESS_TAG: process.as_tag()})
        return ALIVE


def _listened_on(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CONNECT_TIMEOUT_SECONDS)
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            # The server exists and is busy. In doubt the run is alive.
            return True
    return True
