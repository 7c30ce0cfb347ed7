"""The facts of a revision: ``events``, ``properties``, ``rejected_lines`` and its row in the ledger.

Loading is atomic: one transaction replaces all of them. It is idempotent: row ids come from the place of a record in
the export.
"""

from collections import Counter
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Engine, text

from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.lake import ParsedFile
from kmdb_dagster.warehouse.connection.server import insert, transaction
from kmdb_dagster.warehouse.identity import user_map
from kmdb_dagster.warehouse.identity.aliases import count_aliases, read_resolved
from kmdb_dagster.warehouse.identity.erasure_list import MakeRedactor, count_pending_erasures, read_erased_digests
from kmdb_dagster.warehouse.identity.map_lock import lock_generation_shared, read_map_version
from kmdb_dagster.warehouse.identity.spans import widen
from kmdb_dagster.warehouse.interning.lookup import PersonOf, UnresolvedError, key_ids, persons_of
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.loading.facts import (
    Facts,
    People,
    Records,
    event_rows,
    ids_of,
    property_rows,
    select_rows,
    split_batches,
)
from kmdb_dagster.warehouse.loading.filters import Filters, read_filters
from kmdb_dagster.warehouse.loading.leftovers import Leftovers
from kmdb_dagster.warehouse.loading.load_data import bulk_insert
from kmdb_dagster.warehouse.schema.columns import IntColumn
from kmdb_dagster.warehouse.schema.tables import FACTS, MAX_LINE, id_range

COUNTS = ledger.Entry._fields[: ledger.Entry._fields.index("bytes")]
REJECTED = "INSERT INTO rejected_lines (revision, line, reason, raw) VALUES (%s, %s, %s, %s)"
MAX_REMEMBERED_KEYS = 100_000
"""A site has some hundreds; this bounds the memory that a hostile file takes."""
OUTCOMES = np.array(["ignored", "blank", "rejected", "imported"])
"""Outcomes of a line, in order of precedence: with two records, the later outcome counts."""


def load_revision(  # noqa: PLR0913 - what a load depends on
    engine: Engine,
    revision: int,
    parsed: ParsedFile,
    *,
    batch_size: int,
    make_redactor: MakeRedactor,
    leftovers: Leftovers | None = None,
) -> ledger.Entry:
    """Load the facts of a revision in one transaction; facts that were loaded before are replaced.

    Every id is looked up by digest in the same transaction (`warehouse.interning.lookup`).

    Args:
        engine: the warehouse.
        revision: its number.
        parsed: its Parquet.
        batch_size: how many records are held in memory.
        make_redactor: makes what removes erased people, from the list as this transaction reads it.
        leftovers: what is known of rows that the ledger does not know; None: nothing.

    Raises:
        RowsInTheWayError: there are rows that the ledger does not know, since a moment ago: load it again.
        UnresolvedError: its names or aliases are not in, or are those of another file: resolve it, then load it again.
        PermanentError: it has more lines than row ids can number.
    """
    leftovers = leftovers or Leftovers(*FACTS)
    with transaction(engine) as connection, leftovers.retried():
        lock_generation_shared(connection)
        # Before the work, so that a revision that is not resolved costs little; again when the map is held.
        _check_resolved(connection, revision, parsed.etag)
        version = read_map_version(connection)
        if ledger.lock_or_create(connection, revision) or leftovers.may_be_there(connection, revision):
            _delete(connection, revision)
        connection.execute(text("DELETE FROM rejected_lines WHERE revision = :revision"), {"revision": revision})
        loading = _Loading(connection, revision, read_filters(connection))
        redact = make_redactor(read_erased_digests(connection))
        for batch in split_batches(map(redact, parsed.batches(batch_size))):
            loading.load(batch)
        entry = loading.counted.entry(parsed)
        ledger.record(connection, revision, entry)
        times = (entry.t_min, entry.t_max) if entry.t_min and entry.t_max else None
        user_map.correct_persons(connection, version, loading.used, revision, times)
        _check_resolved(connection, revision, parsed.etag)
        _check_aliases(connection, revision, entry.aliases)
    return entry


def _check_resolved(connection: Connection, revision: int, etag: str | None) -> None:
    resolved = read_resolved(connection, revision)
    if resolved is None or resolved.etag != etag:
        raise UnresolvedError(f"Revision {revision} is not resolved from the file that is parsed.")


def _check_aliases(connection: Connection, revision: int, aliases: int) -> None:
    """Check that each alias line is stored. Only its owner changes the map now, so none goes meanwhile."""
    # Asked first: were it over by the time that is looked at afterwards, the lines that it took would be missed.
    forgetting = count_pending_erasures(connection)
    stored = count_aliases(connection, revision)
    if forgetting and stored > aliases:
        raise TransientError(f"Aliases of revision {revision} are being forgotten. Tie it, or wait for that.")
    if stored != aliases:
        raise UnresolvedError(f"Revision {revision} has {aliases} alias lines, and {stored} of them are in `aliases`.")


def _delete(connection: Connection, revision: int) -> None:
    """Delete the facts of a revision: by its range of ids, wherever they are, since a span may have been edited."""
    for table in FACTS:
        connection.execute(text(f"DELETE FROM {table} WHERE id BETWEEN :first AND :last"), id_range(revision))  # noqa: S608


class _Loading:
    """Inserts the batches of one revision in one transaction."""

    def __init__(self, connection: Connection, revision: int, filters: Filters) -> None:
        self._connection = connection
        self._revision = revision
        self._filters = filters
        self._keys: dict[str, int] = {}
        self.counted = ImportCounts()
        self.used: set[tuple[int, int]] = set()
        """(identity, person) ids as they were read; incomplete above `user_map.MAX_COMPARED_IDENTITIES`."""

    def load(self, batch: pa.RecordBatch) -> None:
        """Insert a batch."""
        self._check_lines(batch)
        records, facts = select_rows(batch, self._revision, self._filters)
        self._insert_rejected(records)
        people = self._people(facts)
        if len(people.identity):
            widen(self._connection.engine, people.identity, np.asarray(facts.t.cast(pa.int64())))
        bulk_insert(self._connection, "events", event_rows(facts, people, self._key_ids))
        bulk_insert(self._connection, "properties", property_rows(facts, people, self._key_ids))
        self.counted.add(records, facts)

    def _check_lines(self, batch: pa.RecordBatch) -> None:
        if pc.max(batch.column("line")).as_py() > MAX_LINE:
            raise PermanentError(f"Revision {self._revision} has more than {MAX_LINE:,} lines, the most that fit.")

    def _insert_rejected(self, records: Records) -> None:
        rejected = records.batch.filter(pa.array(records.rejected))
        cells = (rejected.column(name).to_pylist() for name in ("line", "reason", "raw"))
        insert(self._connection, REJECTED, [(self._revision, *row) for row in zip(*cells, strict=True)])

    def _people(self, facts: Facts) -> People:
        identity, person = ids_of(facts.identity, self._person_ids).reshape(-1, 2).T
        return People(identity, person)

    def _person_ids(self, names: list[str]) -> dict[str, PersonOf]:
        found = persons_of(self._connection, names)
        if len(self.used) <= user_map.MAX_COMPARED_IDENTITIES:
            self.used.update(found.values())
        return found

    def _key_ids(self, names: list[str]) -> dict[str, int]:
        """Return the ids of names. Ids that this transaction has looked up before are kept."""
        missing = [name for name in names if name not in self._keys]
        if len(self._keys) + len(missing) > MAX_REMEMBERED_KEYS:
            self._keys.clear()
            missing = names
        self._keys.update(key_ids(self._connection, missing))
        return self._keys


class ImportCounts:
    """Counts the lines of a revision by outcome, each line once, and its records by kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._times: list[datetime] = []
        # The last line of a batch: the other record of it may be the first of the next one.
        self._open = np.empty(0, np.int64), np.empty(0, np.int64)

    def add(self, records: Records, facts: Facts) -> None:
        """Count the records and lines of a batch."""
        outcomes = np.select([records.facts | records.aliases, records.rejected, records.blank], [3, 2, 1])
        self._add_lines(np.asarray(records.batch.column("line")), outcomes)
        self.counts["events"] += int(facts.is_event.sum())
        self.counts["property_sets"] += int((~facts.is_event).sum())
        self.counts["properties"] += len(facts.parent)
        self.counts["aliases"] += int(records.aliases.sum())
        self._times = _span(self._times, facts.t)

    def entry(self, parsed: ParsedFile) -> ledger.Entry:
        """Return the ledger entry, after the last batch."""
        self._count_lines(*self._open)
        t_min, t_max = self._times or (None, None)
        counts = {name: self.counts[name] for name in COUNTS}
        return ledger.Entry(**counts, bytes=parsed.size, etag=parsed.etag, t_min=t_min, t_max=t_max)

    def _add_lines(self, lines: IntColumn, outcomes: IntColumn) -> None:
        lines, outcomes = np.append(self._open[0], lines), np.append(self._open[1], outcomes)
        distinct, start = np.unique(lines, return_index=True)
        outcome = np.maximum.reduceat(outcomes, start)
        self._count_lines(distinct[:-1], outcome[:-1])
        self._open = distinct[-1:], outcome[-1:]

    def _count_lines(self, lines: IntColumn, outcomes: IntColumn) -> None:
        self.counts["lines"] += len(lines)
        for outcome, count in zip(OUTCOMES, np.bincount(outcomes, minlength=len(OUTCOMES)), strict=True):
            self.counts[str(outcome)] += int(count)


def _span(known: list[datetime], more: Any) -> list[datetime]:  # noqa: ANN401 - pyarrow's arrays are many classes
    """The earliest and the latest of these times."""
    return [min([*known, pc.min(more).as_py()]), max([*known, pc.max(more).as_py()])] if len(more) else known
