"""The steps of one revision alone, from its Parquet, as a run does them for a group of one."""

from kmdb_dagster import pipeline
from kmdb_dagster.pipeline import Figures, Pipeline, fetch

__all__ = ["fetch", "load", "parse", "resolve"]


def parse(opened: Pipeline, revision: int) -> Figures:
    """Parse a revision, and forget the records in memory."""
    return pipeline.parse(opened, revision)[0]


def resolve(opened: Pipeline, revision: int) -> Figures:
    """Resolve a revision, and move facts."""
    figures = pipeline.resolve(opened, [pipeline.open_parsed(opened, revision)])[revision]
    pipeline.apply_moves(opened)
    return figures


def load(opened: Pipeline, revision: int) -> Figures:
    """Load a revision, and move facts."""
    figures = pipeline.load(opened, [pipeline.open_parsed(opened, revision)])[revision]
    pipeline.apply_moves(opened)
    return figures
