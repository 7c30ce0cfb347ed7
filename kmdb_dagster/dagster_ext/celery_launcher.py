"""Runs on many machines: each is a task that a Celery worker takes from Redis (deploy/celery/dagster.yaml).

Nothing else knows of Celery. It needs ``pip install 'kmdb-dagster[celery]'``.
"""

import os
import warnings

import dagster as dg
from celery.exceptions import DuplicateTaskNameWarning
from celery.result import AsyncResult
from dagster_celery.launcher import (  # type: ignore[attr-defined]  # Dagster exports the latter two nowhere
    CeleryRunLauncher,
    CheckRunHealthResult,
    WorkerStatus,
)
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from dagster_celery.tasks import create_execute_job_task

from kmdb_dagster.errors import SettingsError

# Dagster's launcher makes its task anew for each run, and Celery says so each time.
warnings.filterwarnings("ignore", category=DuplicateTaskNameWarning)

SECONDS_TO_ANSWER = 5.0
ENDED = {"SUCCESS", "FAILURE", "REVOKED"}
"""States of a Celery task that no worker works on."""


class CeleryLauncher(CeleryRunLauncher):
    """Dagster's own launcher, which also sees that a worker is gone, and lets a canceled run end itself."""

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a worker has this run in hand. Dagster asks of runs that have started and not ended.

        What Celery has written down of a task does not say: it stays "started" when the whole machine goes away, and
        becomes "success" when the run could not tell Dagster of its end.
        """
        task = self._task(run)
        if self._in_hand(task):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"no worker works on it; its Celery task is {task.state}")

    def terminate(self, run_id: str) -> bool:
        """Interrupt a run, which then says itself that it was canceled. Celery's SIGTERM would kill it silently."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return False
        self._instance.report_run_canceling(run)
        self._task(run).revoke(terminate=True, signal="SIGINT")
        return True

    def _task(self, run: dg.DagsterRun) -> AsyncResult:
        return self.celery.AsyncResult(run.tags[DAGSTER_CELERY_TASK_ID_TAG])

    def _in_hand(self, task: AsyncResult) -> bool:
        if task.state in ENDED:
            return False
        # Redis may have lost what it knew of the task, so a task that is not STARTED there may be with any worker.
        workers = [task.info["hostname"]] if task.state == "STARTED" else None
        answers = self.celery.control.inspect(workers, timeout=SECONDS_TO_ANSWER).active() or {}
        return any(active["id"] == task.id for tasks in answers.values() for active in tasks)


def work(instance: dg.DagsterInstance, runs: int) -> None:
    """Be a worker until a signal ends it. Its Celery app is that of the launcher: dagster.yaml says all of both.

    Raises:
        SettingsError: dagster.yaml has no launcher for Celery.
    """
    launcher = instance.run_launcher
    if not isinstance(launcher, CeleryLauncher):
        raise SettingsError(
            "dagster.yaml starts runs without Celery, so there is nothing for a worker to do. Set DAGSTER_HOME to a "
            "folder with the dagster.yaml of deploy/celery."
        )
    create_execute_job_task(launcher.celery)
    # A name of its own, since the launcher asks by it: there may be several on a machine.
    name = f"--hostname=kmdb-{os.getpid()}@%h"
    launcher.celery.worker_main(["worker", name, f"--concurrency={runs}", "--loglevel=INFO", "--without-gossip"])
