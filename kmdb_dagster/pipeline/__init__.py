"""One plain function for each step of a revision: fetch, parse, resolve, load. They know no Dagster.

Each step is idempotent. Each raises `PermanentError`, or `TransientError` after its retries.
"""

from kmdb_dagster.pipeline.steps import Figures, Pipeline, fetch, is_fetched, is_parsed, load, parse, resolve

__all__ = ["Figures", "Pipeline", "fetch", "is_fetched", "is_parsed", "load", "parse", "resolve"]
