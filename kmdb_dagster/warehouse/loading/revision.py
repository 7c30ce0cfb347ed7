"""The facts of a group of revisions: ``events``, ``properties``, ``rejected_lines`` and their rows in the ledger.

Loading is atomic: one transaction replaces all of them. It is idempotent: row ids come from the place of a record in
the export.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Engine

from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.lake import ParsedRevision
from kmdb_dagster.warehouse.connection.server import insert, transaction
from kmdb_dagster.warehouse.identity import user_map
from kmdb_dagster.warehouse.identity.aliases import ResolvedFile, count_aliases, read_resolved
from kmdb_dagster.warehouse.identity.erasure_list import MakeRedactor, count_pending_erasures, read_erased_digests
from kmdb_dagster.warehouse.identity.map_lock import lock_generation_shared, read_map_version
from kmdb_dagster.warehouse.identity.spans import widen
from kmdb_dagster.warehouse.interning.lookup import UnresolvedError, key_ids, persons_of
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.ledger.changed_days import days_of_seconds, record_changed_days, stored_days
from kmdb_dagster.warehouse.loading.counts import ImportCounts
from kmdb_dagster.warehouse.loading.facts import (
    Facts,
    People,
    Records,
    even_batches,
    event_rows,
    ids_of,
    property_rows,
    select_rows,
)
from kmdb_dagster.warehouse.loading.filters import Filters, read_filters
from kmdb_dagster.warehouse.loading.leftovers import Leftovers
from kmdb_dagster.warehouse.loading.load_data import bulk_insert
from kmdb_dagster.warehouse.schema.row_ids import MAX_LINE, id_ranges
from kmdb_dagster.warehouse.schema.tables import FACTS

REJECTED = "INSERT INTO rejected_lines (revision, line, reason, raw) VALUES (%s, %s, %s, %s)"
MAX_REMEMBERED_NAMES = 100_000
"""Of each kind. A site has some hundreds of keys; this bounds the memory that a hostile file takes."""


def load_revisions(
    engine: Engine,
    group: Collection[ParsedRevision],
    *,
    batch_size: int,
    make_redactor: MakeRedactor,
    leftovers: Leftovers | None = None,
) -> dict[int, ledger.Entry]:
    """Load the facts of revisions in one transaction; facts that were loaded before are replaced.

    Every id is looked up by digest in the same transaction (`warehouse.interning.lookup`).

    Args:
        engine: the warehouse.
        group: the revisions.
        batch_size: how many records of a Parquet file are held in memory.
        make_redactor: makes what removes erased people, from the list as this transaction reads it.
        leftovers: what is known of rows that the ledger does not know; None: nothing.

    Raises:
        RowsInTheWayError: there are rows that the ledger does not know, since a moment ago: load again.
        UnresolvedError: names or aliases are not in, or are those of another file: resolve, then load again.
        PermanentError: a revision has more lines than row ids can number.
    """
    leftovers = leftovers or Leftovers(*FACTS)
    ascending = sorted(group, key=lambda parsed: parsed.revision)
    with transaction(engine) as connection, leftovers.retried():
        lock_generation_shared(connection)
        # Before the work, so that a revision that is not resolved costs little; again when the map is locked.
        _check_resolved(connection, ascending)
        version = read_map_version(connection)
        days = _delete_previous(connection, [parsed.revision for parsed in ascending], leftovers)
        filters = read_filters(connection)
        loading = _Loading(connection, ImportCounts(ascending), filters, days)
        redact = make_redactor(read_erased_digests(connection))
        batches = (redact(batch) for parsed in ascending for batch in parsed.batches(batch_size))
        for batch in even_batches(batches):
            loading.load(batch)
        entries = loading.counted.entries()
        ledger.record(connection, entries, filters.digest())
        record_changed_days(connection, loading.days)
        user_map.record_moves_of_loaded(connection, version, loading.used)
        _check_aliases(connection, entries, _check_resolved(connection, ascending))
    return entries


def _check_resolved(connection: Connection, group: Iterable[ParsedRevision]) -> dict[int, ResolvedFile]:
    etags = {parsed.revision: parsed.etag for parsed in group}
    resolved = read_resolved(connection, etags)
    others = [revision for revision in etags if revision not in resolved or resolved[revision].etag != etags[revision]]
    if others:
        raise UnresolvedError(f"Revision {others[0]} is not resolved from the file that is parsed.")
    return resolved


def _check_aliases(
    connection: Connection, entries: Mapping[int, ledger.Entry], resolved: Mapping[int, ResolvedFile]
) -> None:
    """Check that each alias line is stored. Requires a shared lock on the map, so none is deleted meanwhile."""
    # Before the count: lines that an erasure deleted would be missed if it completed in between.
    are_erasures_pending = count_pending_erasures(connection) > 0
    stored = count_aliases(connection, resolved)
    for revision, entry in entries.items():
        if are_erasures_pending and stored[revision] > entry.aliases:
            raise TransientError(f"Aliases of revision {revision} are being erased. The next attempt resolves it.")
        if stored[revision] != entry.aliases:
            raise UnresolvedError(
                f"Revision {revision} has {entry.aliases} alias lines, and {stored[revision]} of them are in `aliases`."
            )


def _delete_previous(connection: Connection, revisions: Sequence[int], leftovers: Leftovers) -> set[date]:
    """Delete what was loaded of revisions: by ranges of ids, wherever it is, since a span may have been edited.

    Returns:
        The days of the deleted facts.
    """
    imported = ledger.lock_or_create(connection, revisions)
    stored = [each for each in revisions if each in imported or leftovers.may_be_there(connection, each)]
    days: set[date] = set()
    if stored:
        days = stored_days(connection, id_ranges(stored))
        for table in FACTS:
            connection.exec_driver_sql(f"DELETE FROM {table} WHERE {id_ranges(stored)}")  # noqa: S608 - numbers
    numbers = ", ".join(map(str, revisions))
    connection.exec_driver_sql(f"DELETE FROM rejected_lines WHERE revision IN ({numbers})")  # noqa: S608 - numbers
    return days


class _Loading:
    """Inserts the batches of a group of revisions in one transaction."""

    def __init__(self, connection: Connection, counted: ImportCounts, filters: Filters, days: set[date]) -> None:
        self._connection = connection
        self._filters = filters
        self._keys: dict[str, int] = {}
        self._persons: dict[str, int] = {}
        self.counted = counted
        self.days = days
        """The days whose facts change."""
        self.used: list[user_map.PersonCodes] = []
        """The identities and persons that were looked up."""

    def load(self, batch: pa.RecordBatch) -> None:
        """Insert a batch."""
        _check_lines(batch)
        records, facts = select_rows(batch, self._filters)
        self._insert_rejected(records)
        people = self._people(facts)
        if len(people.identity):
            seconds = np.asarray(facts.t.cast(pa.int64()))
            self.days |= days_of_seconds(seconds)
            widen(self._connection.engine, people.identity, seconds)
        bulk_insert(self._connection, "events", event_rows(facts, people, self._key_ids))
        bulk_insert(self._connection, "properties", property_rows(facts, people, self._key_ids))
        self.counted.add(records, facts)

    def _insert_rejected(self, records: Records) -> None:
        rejected = records.batch.filter(pa.array(records.rejected))
        cells = (rejected.column(name).to_pylist() for name in ("revision", "line", "reason", "raw"))
        insert(self._connection, REJECTED, list(zip(*cells, strict=True)))

    def _people(self, facts: Facts) -> People:
        codes = ids_of(facts.identity, self._person_codes, np.uint64)
        return People(*user_map.split_person_codes(codes))

    def _person_codes(self, names: list[str]) -> dict[str, int]:
        """Return the `person_codes` of identities. Those that this transaction has looked up are kept."""
        found = user_map.person_codes(persons_of(self._connection, _missing(self._persons, names)))
        self.used.append(np.array(list(found.values()), np.uint64))
        self._persons.update(found)
        return self._persons

    def _key_ids(self, names: list[str]) -> dict[str, int]:
        """Return the ids of names. Those that this transaction has looked up are kept."""
        self._keys.update(key_ids(self._connection, _missing(self._keys, names)))
        return self._keys


def _missing(known: dict[str, int], names: list[str]) -> list[str]:
    """Return the names that are not known. If they are too many to be kept, nothing is known any more."""
    missing = [name for name in names if name not in known]
    if len(known) + len(missing) <= MAX_REMEMBERED_NAMES:
        return missing
    known.clear()
    return names


def _check_lines(batch: pa.RecordBatch) -> None:
    lines = np.asarray(batch.column("line"))
    if lines.max() > MAX_LINE:
        revision = batch.column("revision")[int(lines.argmax())]
        raise PermanentError(f"Revision {revision} has more than {MAX_LINE:,} lines, the most that fit.")
