"""The import, end to end, beside a bare LOAD DATA of the same rows."""

from pathlib import Path
from typing import NamedTuple

from benchmarks.databases import NAME


class Bench(NamedTuple):
    """All that a round needs."""

    server: str
    folder: Path
    revisions: int
    history: str

    @property
    def database(self) -> str:
        """Where to import."""
        return f"{self.server}/{NAME}"


class Round(NamedTuple):
    """What one round took. Processor seconds: of the import's processes, and of the server."""

    seconds: float
    python: float
    server: float
    peak: int
