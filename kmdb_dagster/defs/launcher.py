"""Starts runs as Dagster does by itself, and lets run monitoring know when one is gone.

A run whose process alone is killed is found by the code server that started it. If that is gone too, since the
machine went down, Dagster 1.13 leaves the run as it is: it counts as under way for ever, and takes the place of others
(docs/decisions/0016-runs-that-went-down.md).
"""

import json
import socket

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus  # noqa: TID251 - what a launcher must return
from dagster._core.storage.tags import GRPC_INFO_TAG  # noqa: TID251 - where Dagster's own notes the code server

SECONDS_TO_WAIT = 5.0

GONE = (
    "the process of the run is gone, with the code server that started it: killed, or the machine went down. What the "
    "run had done is kept; running it again is safe, and Dagster does so by itself"
)


class RunLauncher(dg.DefaultRunLauncher):
    """Named by dagster.yaml. A run is gone when nobody listens any more where its code server did."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring is to ask."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run has somebody who would know of its end."""
        where = json.loads(run.tags.get(GRPC_INFO_TAG, "{}")).get("socket")
        if where and not _listened_on(where):
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, GONE)
        return CheckRunHealthResult(WorkerStatus.RUNNING)


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
