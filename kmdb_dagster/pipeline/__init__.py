"""The steps of revisions as plain functions: fetch, parse, resolve, load, apply moves. They know no Dagster.

Each step is idempotent. Each raises `PermanentError`, or `TransientError` after its retries.
"""

from kmdb_dagster.pipeline.groups import Outcomes, StepResult, in_groups, run_step
from kmdb_dagster.pipeline.steps import (
    Figures,
    Pipeline,
    apply_moves,
    fetch,
    is_fetched,
    load,
    open_parsed,
    parse,
    resolve,
)

__all__ = [
    "Figures",
    "Outcomes",
    "Pipeline",
    "StepResult",
    "apply_moves",
    "fetch",
    "in_groups",
    "is_fetched",
    "load",
    "open_parsed",
    "parse",
    "resolve",
    "run_step",
]
