"""Outcomes of runs, from Dagster's history, as incidents: what failed and why, what was loaded, what was checked."""

import dagster as dg

from kmdb_dagster.alerting import incidents
from kmdb_dagster.alerting.incidents import Incident, Ranges, State
from kmdb_dagster.dagster_ext.failures import SEEN_BY_USER
from kmdb_dagster.dagster_ext.history_comparison import RECORDED_RANGES
from kmdb_dagster.dagster_ext.run_ranges import loads_facts, range_of, recorded_revisions
from kmdb_dagster.wording import named_range

OURS = ("kmdb_dagster.", "dagster.")
"""Errors whose text holds no personal data."""

LOGGED_TYPES = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.STEP_OUTPUT,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}
WILL_RETRY = "dagster/will_retry"
STARTED_BY_DAGSTER = {"dagster/schedule_name", "dagster/sensor_name", "dagster/from_automation_condition"}
"""Tags of runs that no user waits for."""


class RunOutcome:
    """The outcome of a run that ended."""

    def __init__(self, instance: dg.DagsterInstance, record: dg.RunRecord, ui_url: str) -> None:
        self._instance = instance
        self.run = record.dagster_run
        self.at = record.end_time or 0.0
        self._link = f"{ui_url.rstrip('/')}/runs/{self.run.run_id}"
        logged = instance.all_logs(self.run.run_id, of_type=LOGGED_TYPES)
        self._events = [entry.dagster_event for entry in logged if entry.dagster_event]
        self._range = range_of(self.run)

    def update(self, state: State) -> None:
        """Open and resolve incidents."""
        failed = self.run.status is dg.DagsterRunStatus.FAILURE
        if failed and self.run.tags.get(WILL_RETRY) != "true" and not self._is_seen_by_user():
            self._add_failure(state)
        if self._range and loads_facts(self.run):
            loaded = [[*self._range]] if not failed else self._others()
            incidents.resolve_imports(state, loaded)
        elif not failed:
            incidents.resolve(state, f"job {self._subject()}:")
            incidents.resolve_imports(state, self._recorded())
        for event in self._events:
            if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                self._update_check(state, event.asset_check_evaluation_data)

    def _add_failure(self, state: State) -> None:
        text = "\n".join(self._reasons())
        if self._range:
            # A backfill runs an internal job of Dagster, whose name says nothing.
            subject, kind = f"the import of {named_range(*self._range)}", "import"
            revisions = [[number, number] for number in self._failed()] or self._not_recorded() or [[*self._range]]
        else:
            subject, revisions = self._subject(), []
            kind = f"job {subject}"
        incident = Incident(subject, "failed", text, self._link, self.at, revisions)
        incidents.add_failure(state, incidents.incident_key(kind, text), incident)

    def _update_check(self, state: State, check: dg.AssetCheckEvaluation) -> None:
        # Without the asset: a check of `warehouse` resolves what the check of the same name of a run has found.
        name = f"check {check.check_name}:"
        if not check.passed:
            found = (f"{name}: {value.value}" for name, value in check.metadata.items() if _is_short(value.value))
            warning = check.severity is dg.AssetCheckSeverity.WARN
            subject = f"the check {check.check_name} of {check.asset_key.to_user_string()}"
            incident = Incident(
                subject, "warns" if warning else "failed", "\n".join(found), self._link, self.at, [], warning
            )
            incidents.open_once(state, name, incident)
        elif not self._range:
            # A check of a run's own revisions says nothing about the others.
            incidents.resolve(state, name)

    def _is_seen_by_user(self) -> bool:
        """Return whether a user started the run and waits for its answer: a dry run, or what was typed wrongly."""
        failures = [event.step_failure_data.user_failure_data for event in self._events if event.is_step_failure]
        marked = any(failure is not None and SEEN_BY_USER in failure.metadata for failure in failures)
        return marked and STARTED_BY_DAGSTER.isdisjoint(self.run.tags)

    def _subject(self) -> str:
        """Return the name of the job, or the assets of a job that Dagster made for **Materialize**."""
        run = self.run
        if not run.job_name.startswith("__"):
            return run.job_name
        assets = {*(run.asset_selection or ()), *(check.asset_key for check in run.asset_check_selection or ())}
        return ", ".join(sorted(key.to_user_string() for key in assets)) or run.job_name

    def _reasons(self) -> list[str]:
        failures = [event for event in self._events if event.event_type is dg.DagsterEventType.STEP_FAILURE]
        if failures:
            return [f"{_reason(event)}\n(step {event.step_key})" for event in failures]
        return [event.message or "" for event in self._events if event.event_type is dg.DagsterEventType.RUN_FAILURE]

    def _failed(self) -> list[int]:
        """Read the failed revisions from the failure's metadata; none if the run was killed."""
        for event in self._events:
            data = event.step_failure_data if event.is_step_failure else None
            recorded = data.user_failure_data.metadata.get("failed") if data and data.user_failure_data else None
            if recorded is not None and isinstance(recorded.value, list):
                return [int(str(number)) for number in recorded.value]
        return []

    def _not_recorded(self) -> Ranges:
        """Return the revisions that a killed run had not recorded yet."""
        recorded = [[number, number] for number in recorded_revisions(self._instance, self.run)]
        return incidents.without([[*self._range]], recorded) if self._range else []

    def _recorded(self) -> Ranges:
        """Return the revisions that a run of `record_loaded` recorded."""
        for event in self._events:
            data = event.step_output_data if event.is_successful_output else None
            recorded = data.metadata.get(RECORDED_RANGES) if data else None
            if recorded is not None and isinstance(recorded.value, list):
                return [[int(str(first)), int(str(last))] for first, last in recorded.value]
        return []

    def _others(self) -> Ranges:
        failed = self._failed()
        return incidents.without([[*self._range]], [[n, n] for n in failed]) if failed and self._range else []


def _is_short(value: object) -> bool:
    return isinstance(value, int | float | str) and len(str(value)) < 200


def _reason(event: dg.DagsterEvent) -> str:
    """Return the original error, without the errors that Dagster wraps around it."""
    error = getattr(event.event_specific_data, "error", None)
    while error is not None and error.cause is not None and error.cls_name.startswith("Dagster"):
        error = error.cause
    return public_message(error.message if error else "")


def public_message(message: str) -> str:
    """Return the text of our own errors, and only the type of others: their text may quote personal data."""
    kind, _, text = message.strip().partition(": ")
    return text if text and kind.startswith(OURS) else kind or "no reason given"
