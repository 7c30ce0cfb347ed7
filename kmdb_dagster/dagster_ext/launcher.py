"""Starts runs as Dagster does by itself, and tells run monitoring whether the process of a run still exists.

The code server that started a run reports its end, unless it is gone itself or cannot write to the history. Dagster
1.13 then leaves the run as it is: started for ever, in the place of another run
(docs/decisions/0016-runs-that-went-down.md).
"""

import json
import socket

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from kmdb_dagster.dagster_ext.run_process import RunProcess, is_supported

SECONDS_TO_WAIT = 5.0

PROCESS_TAG = "kmdb/process"
"""Identifies the process of a run, once run monitoring has seen it."""

GONE = (
    "the process of the run is gone: killed, or the machine went down. What the run had done is kept; running it again "
    "is safe, and Dagster does so by itself"
)
ALIVE = CheckRunHealthResult(WorkerStatus.RUNNING)
DEAD = CheckRunHealthResult(WorkerStatus.NOT_FOUND, GONE)


class RunLauncher(dg.DefaultRunLauncher):
    """Named by dagster.yaml. A run is dead when its process is, whatever its code server knows of it."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring is to ask."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process exists. Where the process is not known, whether its code server listens."""
        path = json.loads(run.tags.get(GRPC_INFO_TAG, "{}")).get("socket")
        if not path:
            # The code server is on another machine, or in another container: nothing is known.
            return ALIVE
        if is_supported():
            process = RunProcess.from_tag(run.tags.get(PROCESS_TAG), run.run_id)
            if process:
                return ALIVE if process.is_alive() else DEAD
            if started := self._start_of(run):
                return self._first_look(run, *started)
        return ALIVE if _listened_on(path) else DEAD

    def _start_of(self, run: dg.DagsterRun) -> tuple[int, float] | None:
        """The number of the run's process, and when the run wrote it to its history."""
        for entry in self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            event = entry.dagster_event
            number = event.engine_event_data.metadata.get("pid") if event else None
            if number is not None:
                return int(str(number.value)), entry.timestamp
        return None

    def _first_look(self, run: dg.DagsterRun, pid: int, known_at: float) -> CheckRunHealthResult:
        process = RunProcess.find(run.run_id, pid, known_at)
        if process is None:
            return DEAD
        # From now on it is known by its start, which no change of the clock touches.
        self._instance.add_run_tags(run.run_id, {PROCESS_TAG: process.as_tag()})
        return ALIVE


def _listened_on(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(SECONDS_TO_WAIT)
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            # It is there and busy: in doubt the run lives.
            return True
    return True
