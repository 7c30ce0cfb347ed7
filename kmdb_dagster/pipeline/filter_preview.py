"""Count the rows that a reload would add or remove, because revisions were loaded with other filters."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine, text

from kmdb_dagster.erasure.redaction import Redactor
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake, ParsedFile
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.identity.erasure_list import read_erased_digests
from kmdb_dagster.warehouse.ledger.loaded_filters import loaded_with
from kmdb_dagster.warehouse.loading.facts import even_batches, select_rows
from kmdb_dagster.warehouse.loading.filters import Filters
from kmdb_dagster.wording import counted

MAX_REVISIONS_READ = 1000
"""Of more revisions an evenly spread sample is read, so that a preview takes about a minute."""
RECORDS_PER_BATCH = 50_000
COLUMNS = ["revision", "line", "kind", "t", "identity", "name", "properties"]
ROWS = "SELECT events, properties FROM revisions WHERE revision = :revision AND etag = :etag"


class Rows(NamedTuple):
    """Rows of `events` and `properties`."""

    events: int = 0
    properties: int = 0

    def __str__(self) -> str:
        """Return the counts as text."""
        return f"{counted(self.events, 'event')} and {counted(self.properties, 'property value')}"


class Preview(NamedTuple):
    """What a reload of revisions would change. Each revision counts with its net difference."""

    revisions: int
    """Revisions that were loaded with other filters."""
    read: int
    """Revisions whose Parquet was read. If fewer, the rows are estimated from them."""
    without_parquet: int
    """Revisions of the sample whose Parquet is missing or of another file."""
    removed: Rows
    added: Rows

    @property
    def is_estimated(self) -> bool:
        """Whether the rows are estimated from a sample."""
        return self.read < self.revisions

    def __str__(self) -> str:
        """Return the counts as sentences."""
        about = "about " if self.is_estimated else ""
        text = (
            f"A reload of {counted(self.revisions, 'revision')} would remove {about}{self.removed}, and add "
            f"{about}{self.added}."
        )
        if self.is_estimated:
            text += f" Estimated from {counted(self.read, 'revision')}."
        if self.without_parquet:
            text += f" Not counted, because their Parquet is not here: {counted(self.without_parquet, 'revision')}."
        return text


def preview_reload(engine: Engine, lake: Lake, filters: Filters, max_read: int = MAX_REVISIONS_READ) -> Preview:
    """Compare the rows that are loaded with those that a load with these filters would make, from the Parquet.

    Args:
        engine: the warehouse.
        lake: the data folder with the Parquet.
        filters: the filters to load with.
        max_read: read at most this many revisions, and estimate the rest.
    """
    used = loaded_with(engine, filters.digest())
    sample = _spread(used.other, max_read)
    with transaction(engine) as connection:
        redact = Redactor(read_erased_digests(connection))
        found = [_difference(connection, lake, revision, filters, redact) for revision in sample]
    differences = np.array([row for row in found if row is not None], np.int64).reshape(-1, 2)
    share = len(used.other) / len(differences) if len(differences) else 0
    removed, added = (
        Rows(*(int(total * share + 0.5) for total in part.sum(axis=0)))
        for part in (np.maximum(-differences, 0), np.maximum(differences, 0))
    )
    return Preview(len(used.other), len(differences), len(found) - len(differences), removed, added)


def _spread(revisions: Sequence[int], most: int) -> list[int]:
    """Return at most this many revisions, evenly spread."""
    places = np.linspace(0, len(revisions) - 1, min(len(revisions), most)).round().astype(int)
    return [revisions[place] for place in places]


def _difference(
    connection: Connection, lake: Lake, revision: int, filters: Filters, redact: Redactor
) -> tuple[int, int] | None:
    """Return how many more events and properties there would be. None: there is no Parquet of the loaded file."""
    try:
        parsed = ParsedFile(lake.parsed(revision), revision)
        loaded = connection.execute(text(ROWS), {"revision": revision, "etag": parsed.etag}).one_or_none()
        if loaded is None:
            return None
        events = properties = 0
        for batch in even_batches(map(redact, parsed.batches(RECORDS_PER_BATCH, columns=COLUMNS))):
            _, facts = select_rows(batch, filters)
            events += int(facts.is_event.sum())
            properties += len(facts.parent)
    except PermanentError:
        return None
    return events - loaded.events, properties - loaded.properties
