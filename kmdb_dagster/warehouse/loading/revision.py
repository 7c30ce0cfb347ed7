"""The facts of a revision: ``events``, ``properties``, ``rejected_lines`` and its row in the ledger.

One transaction replaces all of them, so a revision is in as a whole or not at all. Row ids come from the place of
a record in the export: loading again gives the same rows.
"""

from collections import Counter
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Engine, text

from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.lake import Blotter, ParsedFile
from kmdb_dagster.warehouse import ledger
from kmdb_dagster.warehouse.forgotten import being_forgotten, read_forgotten
from kmdb_dagster.warehouse.loading.facts import (
    Facts,
    Numbers,
    Records,
    choose,
    event_rows,
    ids_of,
    pieces,
    property_rows,
)
from kmdb_dagster.warehouse.loading.filters import Filters, read_filters
from kmdb_dagster.warehouse.loading.infile import send
from kmdb_dagster.warehouse.models import FACTS, MAX_LINE, row_id
from kmdb_dagster.warehouse.names.interning import Interner
from kmdb_dagster.warehouse.people import user_map
from kmdb_dagster.warehouse.people.aliases import count_aliases
from kmdb_dagster.warehouse.people.map_lock import hold_generation, map_version
from kmdb_dagster.warehouse.people.spans import widen
from kmdb_dagster.warehouse.server import insert, transaction

COUNTS = ledger.Entry._fields[: ledger.Entry._fields.index("bytes")]
REJECTED = "INSERT INTO rejected_lines (revision, line, reason, raw) VALUES (%s, %s, %s, %s)"
FATES = np.array(["ignored", "blank", "rejected", "imported"])
"""Of a line. If its records end in different ways, the last of these counts."""


def load_revision(
    engine: Engine, interner: Interner, revision: int, parsed: ParsedFile, *, batch_size: int
) -> ledger.Entry:
    """Put the facts of a revision in place of those it had.

    Raises:
        PermanentError: it has more lines than row ids can number, or its aliases are not tied.
    """
    with transaction(engine) as connection:
        hold_generation(connection, interner.generation)
        version = map_version(connection)
        span = ledger.claim(connection, revision)
        if span is not None:
            _delete(connection, revision, span)
        loading = _Loading(connection, interner, revision, read_filters(connection))
        forgotten = read_forgotten(connection)
        for piece in pieces(map(Blotter(forgotten), parsed.batches(batch_size))):
            loading.load(piece)
        loading.check_tied()
        entry = loading.account.entry(parsed)
        ledger.record(connection, revision, entry)
        if entry.t_min and entry.t_max:
            user_map.settle(connection, version, loading.used, revision, (entry.t_min, entry.t_max))
    return entry


def _delete(connection: Connection, revision: int, span: ledger.Span) -> None:
    """Delete the facts of a revision: by its range of ids, within the partitions that hold it only."""
    connection.execute(text("DELETE FROM rejected_lines WHERE revision = :revision"), {"revision": revision})
    if span.t_min is None:
        return
    where = {"first": row_id(revision, 0), "last": row_id(revision + 1, 0) - 1, **span._asdict()}
    for table in FACTS:
        connection.execute(
            text(f"DELETE FROM {table} WHERE id BETWEEN :first AND :last AND t BETWEEN :t_min AND :t_max"),  # noqa: S608
            where,
        )


class _Loading:
    """A revision on its way in."""

    def __init__(self, connection: Connection, interner: Interner, revision: int, filters: Filters) -> None:
        self._connection = connection
        self._interner = interner
        self._revision = revision
        self._filters = filters
        self.account = Account()
        self.used: set[tuple[int, int]] = set()
        """Identities with the persons that were read for them; not all, if more than `user_map.MOST_COMPARED`."""

    def load(self, piece: pa.RecordBatch) -> None:
        """Insert a piece."""
        self._check_lines(piece)
        records, facts = choose(piece, self._revision, self._filters)
        self._insert_rejected(records)
        identities = ids_of(facts.identity, self._interner.user_ids)
        if len(identities):
            widen(self._connection.engine, identities, np.asarray(facts.t.cast(pa.int64())))
        users = self._persons(identities)
        send(self._connection, "events", event_rows(facts, users, identities, self._interner.key_ids))
        send(self._connection, "properties", property_rows(facts, users, identities, self._interner.key_ids))
        self.account.add(records, facts)

    def check_tied(self) -> None:
        """Refuse to count aliases as in that are not: the warehouse may have been flushed since they were tied."""
        aliases = self.account.counts["aliases"]
        # Asked first: were it over by the time that is looked at afterwards, the lines that it took would be missed.
        forgetting = being_forgotten(self._connection)
        stored = count_aliases(self._connection, self._revision)
        if forgetting and stored > aliases:
            raise TransientError(f"Aliases of revision {self._revision} are being forgotten. Tie it, or wait for that.")
        if stored != aliases:
            raise PermanentError(
                f"Revision {self._revision} has {aliases} alias lines, and {stored} of them are in "
                "`aliases`. Materialize user_map of it first."
            )

    def _check_lines(self, piece: pa.RecordBatch) -> None:
        if pc.max(piece.column("line")).as_py() > MAX_LINE:
            raise PermanentError(f"Revision {self._revision} has more than {MAX_LINE:,} lines, the most that fit.")

    def _insert_rejected(self, records: Records) -> None:
        rejected = records.batch.filter(pa.array(records.rejected))
        cells = (rejected.column(name).to_pylist() for name in ("line", "reason", "raw"))
        insert(self._connection, REJECTED, [(self._revision, *row) for row in zip(*cells, strict=True)])

    def _persons(self, identities: Numbers) -> Numbers:
        distinct, place = np.unique(identities, return_inverse=True)
        person = user_map.persons(self._connection, distinct.tolist())
        if len(self.used) <= user_map.MOST_COMPARED:
            self.used.update(person.items())
        return np.array([person[identity] for identity in distinct.tolist()], np.int64)[place]


class Account:
    """What became of the lines of a revision: each is counted once, as one of four."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._times: list[datetime] = []
        # The last line of a piece: the other record of it may be the first of the next one.
        self._open = np.empty(0, np.int64), np.empty(0, np.int64)

    def add(self, records: Records, facts: Facts) -> None:
        """Take the records of a piece into account."""
        fates = np.select([records.facts | records.aliases, records.rejected, records.blank], [3, 2, 1])
        self._add_lines(np.asarray(records.batch.column("line")), fates)
        self.counts["events"] += int(facts.is_event.sum())
        self.counts["property_sets"] += int((~facts.is_event).sum())
        self.counts["properties"] += len(facts.parent)
        self.counts["aliases"] += int(records.aliases.sum())
        self._times = _span(self._times, facts.t)

    def entry(self, parsed: ParsedFile) -> ledger.Entry:
        """What is to be written down, once every record was added."""
        self._count_lines(*self._open)
        t_min, t_max = self._times or (None, None)
        counts = {name: self.counts[name] for name in COUNTS}
        return ledger.Entry(**counts, bytes=parsed.size, etag=parsed.etag, t_min=t_min, t_max=t_max)

    def _add_lines(self, lines: Numbers, fates: Numbers) -> None:
        lines, fates = np.append(self._open[0], lines), np.append(self._open[1], fates)
        distinct, start = np.unique(lines, return_index=True)
        fate = np.maximum.reduceat(fates, start)
        self._count_lines(distinct[:-1], fate[:-1])
        self._open = distinct[-1:], fate[-1:]

    def _count_lines(self, lines: Numbers, fates: Numbers) -> None:
        self.counts["lines"] += len(lines)
        for fate, count in zip(FATES, np.bincount(fates, minlength=len(FATES)), strict=True):
            self.counts[str(fate)] += int(count)


def _span(known: list[datetime], more: Any) -> list[datetime]:  # noqa: ANN401 - pyarrow's arrays are many classes
    """The earliest and the latest of these times."""
    return [min([*known, pc.min(more).as_py()]), max([*known, pc.max(more).as_py()])] if len(more) else known
