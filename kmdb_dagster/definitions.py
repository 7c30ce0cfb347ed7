"""The code location that Dagster loads: all definitions, built when Dagster asks for them, not at import."""

import gc
import warnings
from collections.abc import Mapping
from functools import lru_cache

import dagster as dg

# BackfillPolicy is beta in 1.13, and warns at every use.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

# What is imported stays. Else each full collection looks through it again, for a tenth of a second (decision 0015).
gc.freeze()

from kmdb_dagster.defs.asset_checks import CHECKS  # noqa: E402 - after the filter
from kmdb_dagster.defs.asset_checks.columnar_facts import columnar_agrees_with_ledger  # noqa: E402
from kmdb_dagster.defs.assets.bucket import bucket_scan  # noqa: E402
from kmdb_dagster.defs.assets.catalog import with_catalog  # noqa: E402
from kmdb_dagster.defs.assets.columnar_facts import columnar_facts  # noqa: E402
from kmdb_dagster.defs.assets.filters import filters  # noqa: E402
from kmdb_dagster.defs.assets.import_report import import_report  # noqa: E402
from kmdb_dagster.defs.assets.outstanding import outstanding_revisions  # noqa: E402
from kmdb_dagster.defs.assets.questions import question_assets  # noqa: E402
from kmdb_dagster.defs.assets.revisions import revision_assets  # noqa: E402
from kmdb_dagster.defs.assets.warehouse import warehouse  # noqa: E402
from kmdb_dagster.defs.jobs import JOBS  # noqa: E402
from kmdb_dagster.defs.jobs.questions import answer_questions  # noqa: E402
from kmdb_dagster.defs.resources import Kmdb  # noqa: E402
from kmdb_dagster.defs.schedules import SCHEDULES  # noqa: E402
from kmdb_dagster.defs.sensors.alerts import alerts  # noqa: E402
from kmdb_dagster.defs.sensors.every_night import every_night  # noqa: E402
from kmdb_dagster.defs.sensors.new_revisions import new_revisions  # noqa: E402
from kmdb_dagster.defs.sensors.unrecorded_revisions import unrecorded_revisions  # noqa: E402
from kmdb_dagster.settings import Settings, load_settings  # noqa: E402

gc.freeze()


@dg.definitions
def definitions() -> dg.Definitions:
    """Build what the Dagster UI shows, from the environment.

    Raises:
        SettingsError: a setting is wrong. Missing ones do not matter here.
    """
    settings = load_settings()
    # The file of the questions may change while a code server lives.
    return build_defs(settings) if settings.questions else _built(settings)


@lru_cache(maxsize=1)
def _built(settings: Settings) -> dg.Definitions:
    """Build them once: a run asks four times, and Dagster builds a repository of each new object that it gets."""
    return build_defs(settings)


def build_defs(settings: Settings, resource_overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """Build the definitions.

    Args:
        settings: decide how many revisions a run takes, and which questions are assets.
        resource_overrides: resources of a test, by name, in place of the real ones.
    """
    questions = question_assets(settings.questions)
    copy = [columnar_facts] if settings.columnar else []
    revisions = revision_assets(settings.revisions_per_run)
    assets = [bucket_scan, outstanding_revisions, revisions, warehouse, filters, import_report]
    return dg.Definitions(
        assets=with_catalog([*assets, *copy, *questions], settings),
        asset_checks=[*CHECKS, *([columnar_agrees_with_ledger] if copy else [])],
        jobs=[*JOBS, *([answer_questions] if questions else [])],
        schedules=SCHEDULES,
        sensors=[new_revisions, unrecorded_revisions, alerts, every_night],
        resources={"kmdb": Kmdb(), **(resource_overrides or {})},
        # A run is the unit of parallelism; a process for each of its steps would only cost seconds.
        executor=dg.in_process_executor,
    )
