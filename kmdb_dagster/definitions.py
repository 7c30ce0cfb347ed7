"""Where Dagster enters: all definitions of the code location. Made when Dagster asks, not at import."""

import warnings

import dagster as dg

# BackfillPolicy is beta in 1.13, and says so at every use.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

from kmdb_dagster.defs.alerts import alerts  # noqa: E402 - after the filter
from kmdb_dagster.defs.asset_checks import CHECKS  # noqa: E402
from kmdb_dagster.defs.assets import BUCKET, revision_assets  # noqa: E402
from kmdb_dagster.defs.jobs import JOBS  # noqa: E402
from kmdb_dagster.defs.questions import answer_every_morning, answer_questions, ask_job, question_assets  # noqa: E402
from kmdb_dagster.defs.record_loaded import record_loaded, unrecorded_revisions  # noqa: E402
from kmdb_dagster.defs.report import import_report  # noqa: E402
from kmdb_dagster.defs.resources import Kmdb  # noqa: E402
from kmdb_dagster.defs.schedules import SCHEDULES, check_everything  # noqa: E402
from kmdb_dagster.defs.sensors import SENSORS  # noqa: E402
from kmdb_dagster.settings import load_settings  # noqa: E402


@dg.definitions
def definitions() -> dg.Definitions:
    """Everything that the Dagster UI shows.

    Raises:
        SettingsError: a setting is wrong; missing ones do not matter here.
    """
    settings = load_settings()
    questions = question_assets(settings.questions)
    return dg.Definitions(
        assets=[BUCKET, revision_assets(settings.revisions_per_run), import_report, *questions],
        asset_checks=CHECKS,
        jobs=[*JOBS, record_loaded, check_everything, ask_job, *([answer_questions] if questions else [])],
        schedules=[*SCHEDULES, *([answer_every_morning] if questions else [])],
        sensors=[*SENSORS, unrecorded_revisions, alerts],
        resources={"kmdb": Kmdb()},
        # A run is the unit of parallelism; a process for each of its steps would only cost seconds.
        executor=dg.in_process_executor,
    )
