"""Runs on many machines: each run is a task that a Celery worker takes from Redis (deploy/celery/dagster.yaml).

No other module uses Celery. It needs ``pip install 'kmdb-dagster[celery]'``.
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

# Dagster's launcher creates its task again for each run, and Celery warns each time.
warnings.filterwarnings("ignore", category=DuplicateTaskNameWarning)

ANSWER_TIMEOUT_SECONDS = 5.0
ENDED = {"SUCCESS", "FAILURE", "REVOKED"}
"""States of a Celery task that no worker runs."""


class CeleryLauncher(CeleryRunLauncher):
    """Dagster's Celery launcher, which also detects that a worker is gone, and lets a canceled run record its end."""

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Check whether a worker runs this run. Dagster calls it for runs that have started and not ended.

        The state of the Celery task is not enough: it stays "started" when the whole machine is lost, and becomes
        "success" when the run could not record its end.
        """
        task = self._task(run)
        if self._is_running(task):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"no worker runs it; its Celery task is {task.state}")

    def terminate(self, run_id: str) -> bool:
        """Interrupt a run, which then records that it was canceled. Celery's SIGTERM would kill it silently."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return False
        self._instance.report_run_canceling(run)
        self._task(run).revoke(terminate=True, signal="SIGINT")
        return True

    def _task(self, run: dg.DagsterRun) -> AsyncResult:
        return self.celery.AsyncResult(run.tags[DAGSTER_CELERY_TASK_ID_TAG])

    def _is_running(self, task: AsyncResult) -> bool:
        if task.state in ENDED:
            return False
        # Redis may have lost the task, so one that is not STARTED there may run on any worker.
        workers = [task.info["hostname"]] if task.state == "STARTED" else None
        answers = self.celery.control.inspect(workers, timeout=ANSWER_TIMEOUT_SECONDS).active() or {}
        return any(active["id"] == task.id for tasks in answers.values() for active in tasks)


def work(instance: dg.DagsterInstance, runs: int) -> None:
    """Run a worker until a signal ends it. It uses the Celery app of the launcher, configured in dagster.yaml.

    Raises:
        SettingsError: dagster.yaml does not name the Celery launcher.
    """
    launcher = instance.run_launcher
    if not isinstance(launcher, CeleryLauncher):
        raise SettingsError(
            "dagster.yaml starts runs without Celery, so there is nothing for a worker to do. Set DAGSTER_HOME to a "
            "folder with the dagster.yaml of deploy/celery."
        )
    create_execute_job_task(launcher.celery)
    # A unique name, because the launcher asks workers by name and a machine may have several.
    name = f"--hostname=kmdb-{os.getpid()}@%h"
    launcher.celery.worker_main(["worker", name, f"--concurrency={runs}", "--loglevel=INFO", "--without-gossip"])
