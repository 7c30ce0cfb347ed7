"""How runs ended, as Dagster's history has it, put as troubles: what failed and why, what came in, what was checked."""

import dagster as dg

from kmdb_dagster.alerting import incidents
from kmdb_dagster.alerting.incidents import Ranges, State, Trouble
from kmdb_dagster.dagster_ext.history_comparison import RECORDED_RANGES
from kmdb_dagster.dagster_ext.run_ranges import brings_in, range_of, recorded_by

OURS = ("kmdb_dagster.", "dagster.")
"""Errors whose text is made for people."""

EVENTS = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.STEP_OUTPUT,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}
WILL_RETRY = "dagster/will_retry"


class Ending:
    """A run that ended."""

    def __init__(self, instance: dg.DagsterInstance, record: dg.RunRecord, ui_url: str) -> None:
        self._instance = instance
        self.run = record.dagster_run
        self.at = record.end_time or 0.0
        self._link = f"{ui_url.rstrip('/')}/runs/{self.run.run_id}"
        logged = instance.all_logs(self.run.run_id, of_type=EVENTS)
        self._events = [entry.dagster_event for entry in logged if entry.dagster_event]
        self._range = range_of(self.run)

    def note(self, state: State) -> None:
        """Let the troubles know."""
        failed = self.run.status is dg.DagsterRunStatus.FAILURE
        if failed and self.run.tags.get(WILL_RETRY) != "true":
            self._note_failure(state)
        if self._range and brings_in(self.run):
            came_in = [[*self._range]] if not failed else self._others()
            incidents.mend(state, came_in)
        elif not failed:
            incidents.end(state, f"job {self.run.job_name}:")
            incidents.mend(state, self._recorded())
        for event in self._events:
            if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                self._note_check(state, event.asset_check_evaluation_data)

    def _note_failure(self, state: State) -> None:
        words = "\n".join(self._reasons())
        if self._range:
            # The job of a backfill is an internal one of Dagster's, which tells nobody anything.
            what, kind = "the import of revisions {}..{}".format(*self._range), "import"
            revisions = [[number, number] for number in self._failed()] or self._not_recorded() or [[*self._range]]
        else:
            what, kind, revisions = self.run.job_name, f"job {self.run.job_name}", []
        trouble = Trouble(what, "failed", words, self._link, self.at, revisions)
        incidents.add(state, incidents.key_of(kind, words), trouble)

    def _note_check(self, state: State, check: dg.AssetCheckEvaluation) -> None:
        name = f"check {check.asset_key.to_user_string()}:{check.check_name}"
        if not check.passed:
            found = (f"{name}: {value.value}" for name, value in check.metadata.items() if _is_short(value.value))
            warning = check.severity is dg.AssetCheckSeverity.WARN
            what = f"the check {check.check_name} of {check.asset_key.to_user_string()}"
            trouble = Trouble(
                what, "warns" if warning else "failed", "\n".join(found), self._link, self.at, [], warning
            )
            incidents.keep(state, name, trouble)
        elif not self._range:
            # One that looked at a run's own revisions says nothing of the others.
            incidents.end(state, name)

    def _reasons(self) -> list[str]:
        failures = [event for event in self._events if event.event_type is dg.DagsterEventType.STEP_FAILURE]
        if failures:
            return [f"{_reason(event)}\n(step {event.step_key})" for event in failures]
        return [event.message or "" for event in self._events if event.event_type is dg.DagsterEventType.RUN_FAILURE]

    def _failed(self) -> list[int]:
        """The revisions that failed, where the run says so itself."""
        for event in self._events:
            data = event.step_failure_data if event.is_step_failure else None
            told = data.user_failure_data.metadata.get("failed") if data and data.user_failure_data else None
            if told is not None and isinstance(told.value, list):
                return [int(str(number)) for number in told.value]
        return []

    def _not_recorded(self) -> Ranges:
        """The revisions that a run which was killed had not recorded yet."""
        recorded = [[number, number] for number in recorded_by(self._instance, self.run)]
        return incidents.without([[*self._range]], recorded) if self._range else []

    def _recorded(self) -> Ranges:
        """The revisions that a run of `record_loaded` recorded."""
        for event in self._events:
            data = event.step_output_data if event.is_successful_output else None
            told = data.metadata.get(RECORDED_RANGES) if data else None
            if told is not None and isinstance(told.value, list):
                return [[int(str(first)), int(str(last))] for first, last in told.value]
        return []

    def _others(self) -> Ranges:
        failed = self._failed()
        return incidents.without([[*self._range]], [[n, n] for n in failed]) if failed and self._range else []


def _is_short(value: object) -> bool:
    return isinstance(value, int | float | str) and len(str(value)) < 200


def _reason(event: dg.DagsterEvent) -> str:
    """The error itself, under the layers that Dagster wraps around it."""
    error = getattr(event.event_specific_data, "error", None)
    while error is not None and error.cause is not None and error.cls_name.startswith("Dagster"):
        error = error.cause
    return in_our_words(error.message if error else "")


def in_our_words(message: str) -> str:
    """An error as people may read it: the text of other errors may quote a person's data, which goes into no mail."""
    kind, _, words = message.strip().partition(": ")
    return words if words and kind.startswith(OURS) else kind or "no reason given"
