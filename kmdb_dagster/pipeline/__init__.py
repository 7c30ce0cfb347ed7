"""One plain function for each step of a revision: fetch, parse, resolve, load. What Dagster calls, without Dagster.

Each step can be run again at any time and gives the same; each raises `PermanentError` or, after it has tried for a
while, `TransientError`.
"""

from kmdb_dagster.pipeline.steps import Figures, Pipeline, fetch, load, parse, resolve

__all__ = ["Figures", "Pipeline", "fetch", "load", "parse", "resolve"]
