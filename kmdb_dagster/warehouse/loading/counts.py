"""Counts for the ledger entries of a group: the lines of each revision by outcome, its records by kind, its times."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from kmdb_dagster.lake import ParsedRevision
from kmdb_dagster.warehouse.ledger.ledger import Entry
from kmdb_dagster.warehouse.loading.facts import Facts, Records
from kmdb_dagster.warehouse.schema.columns import IntColumn
from kmdb_dagster.warehouse.schema.row_ids import LINE_BITS

OUTCOMES = ("ignored", "blank", "rejected", "imported")
"""Outcomes of a line, in order of precedence: with two records, the later outcome counts."""
KINDS = ("events", "property_sets", "properties", "aliases")

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - as the server has it


class ImportCounts:
    """Counts the lines of revisions by outcome, each line once, and their records by kind.

    Args:
        group: the revisions.
    """

    def __init__(self, group: Iterable[ParsedRevision]) -> None:
        self._group = sorted(group, key=lambda parsed: parsed.revision)
        self._revisions = np.array([parsed.revision for parsed in self._group], np.int64)
        self._counts = {name: self._each(0) for name in ("lines", *OUTCOMES, *KINDS)}
        self._first, self._last = self._each(np.iinfo(np.int64).max), self._each(np.iinfo(np.int64).min)
        # The last line of a batch: its other record may be the first of the next batch.
        self._open = np.empty(0, np.int64), np.empty(0, np.int64)

    def add(self, records: Records, facts: Facts) -> None:
        """Count the records and lines of a batch."""
        place = np.searchsorted(self._revisions, np.asarray(records.batch.column("revision")))
        outcomes = np.select([records.facts | records.aliases, records.rejected, records.blank], [3, 2, 1])
        self._add_lines(place << LINE_BITS | np.asarray(records.batch.column("line")), outcomes)
        of_fact = place[records.facts]
        self._count("events", of_fact[facts.is_event])
        self._count("property_sets", of_fact[~facts.is_event])
        self._count("properties", of_fact[facts.parent])
        self._count("aliases", place[records.aliases])
        seconds = np.asarray(facts.t.cast(pa.int64()))
        np.minimum.at(self._first, of_fact, seconds)
        np.maximum.at(self._last, of_fact, seconds)

    def entries(self) -> dict[int, Entry]:
        """Return the ledger entry of each revision, after the last batch."""
        self._count_lines(*self._open)
        return {parsed.revision: self._entry(place, parsed) for place, parsed in enumerate(self._group)}

    def _entry(self, place: int, parsed: ParsedRevision) -> Entry:
        counts = {name: int(numbers[place]) for name, numbers in self._counts.items()}
        has_facts = counts["events"] + counts["property_sets"] > 0
        t_min, t_max = (
            EPOCH + timedelta(seconds=int(times[place])) if has_facts else None for times in (self._first, self._last)
        )
        return Entry(**counts, bytes=parsed.size, etag=parsed.etag, t_min=t_min, t_max=t_max)

    def _add_lines(self, lines: IntColumn, outcomes: IntColumn) -> None:
        lines, outcomes = np.append(self._open[0], lines), np.append(self._open[1], outcomes)
        distinct, start = np.unique(lines, return_index=True)
        outcome = np.maximum.reduceat(outcomes, start)
        self._count_lines(distinct[:-1], outcome[:-1])
        self._open = distinct[-1:], outcome[-1:]

    def _count_lines(self, lines: IntColumn, outcomes: IntColumn) -> None:
        place = lines >> LINE_BITS
        self._count("lines", place)
        for code, name in enumerate(OUTCOMES):
            self._count(name, place[outcomes == code])

    def _count(self, name: str, places: IntColumn) -> None:
        self._counts[name] += np.bincount(places, minlength=len(self._group))

    def _each(self, number: int) -> IntColumn:
        return np.full(len(self._group), number, np.int64)
