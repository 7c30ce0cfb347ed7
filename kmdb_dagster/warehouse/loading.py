"""The facts of a revision: ``events``, ``properties``, ``rejected_lines`` and its row in the ledger.

One transaction replaces all of them, so a revision is in as a whole or not at all. Row ids come from the place of
a record in the export: loading again gives the same rows.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake.parsed import ParsedFile, ParsedRow
from kmdb_dagster.warehouse import ledger, people
from kmdb_dagster.warehouse.aliases import count_aliases
from kmdb_dagster.warehouse.filters import Filters, read_filters
from kmdb_dagster.warehouse.interning import Interner
from kmdb_dagster.warehouse.map_lock import hold_generation, map_version
from kmdb_dagster.warehouse.models import MAX_LINE, row_id
from kmdb_dagster.warehouse.server import insert, transaction

EVENTS = "INSERT INTO events (id, t, n, user_id, identity_id) VALUES (%s, %s, %s, %s, %s)"
PROPERTIES = (
    "INSERT INTO properties (id, t, `key`, value, user_id, event_id, identity_id) VALUES (%s, %s, %s, %s, %s, %s, %s)"
)
COUNTED_AS = {"event": "events", "property_set": "property_sets", "alias": "aliases"}
COUNTS = ledger.Entry._fields[: ledger.Entry._fields.index("bytes")]
REJECTED = "INSERT INTO rejected_lines (revision, line, reason, raw) VALUES (%s, %s, %s, %s)"


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
        for rows in parsed.rows(batch_size):
            loading.load(rows)
        loading.check_tied()
        entry = loading.account.entry(parsed)
        ledger.record(connection, revision, entry)
        if entry.t_min and entry.t_max:
            people.settle(connection, version, revision, entry.t_min, entry.t_max)
    return entry


def _delete(connection: Connection, revision: int, span: ledger.Span) -> None:
    """Delete the facts of a revision: by its range of ids, within the partitions that hold it only."""
    connection.execute(text("DELETE FROM rejected_lines WHERE revision = :revision"), {"revision": revision})
    if span.t_min is None:
        return
    where = {"first": row_id(revision, 0), "last": row_id(revision + 1, 0) - 1, **span._asdict()}
    for table in people.FACTS:
        connection.execute(
            text(f"DELETE FROM {table} WHERE id BETWEEN :first AND :last AND t BETWEEN :t_min AND :t_max"),  # noqa: S608
            where,
        )


class _Fact(NamedTuple):
    """An event or property set that comes in, with what the blacklist leaves of its properties."""

    row: ParsedRow
    properties: list[tuple[int, str, str | None]]


class _Loading:
    """A revision on its way in."""

    def __init__(self, connection: Connection, interner: Interner, revision: int, filters: Filters) -> None:
        self._connection = connection
        self._interner = interner
        self._revision = revision
        self._filters = filters
        self._aliases: list[datetime] = []
        self.account = Account()

    def load(self, rows: list[ParsedRow]) -> None:
        """Insert a batch."""
        facts = [fact for row in rows if (fact := self._fact(row))]
        keys = self._interner.key_ids(_names(facts))
        identities = self._interner.user_ids({str(fact.row.identity) for fact in facts})
        person = people.persons(self._connection, set(identities.values()))
        events: list[tuple[Any, ...]] = []
        values: list[tuple[Any, ...]] = []
        for row, properties in facts:
            identity = identities[str(row.identity)]
            user = person[identity]
            line = row_id(self._revision, row.line)
            event = None if row.name is None else line
            if row.name is not None:
                events.append((line, row.t, keys[row.name], user, identity))
            values.extend(
                (line + ordinal, row.t, keys[key], value, user, event, identity) for ordinal, key, value in properties
            )
        insert(self._connection, EVENTS, events)
        insert(self._connection, PROPERTIES, values)
        rejected = [(self._revision, row.line, row.reason, row.raw) for row in rows if row.reason]
        insert(self._connection, REJECTED, rejected)
        self._aliases.extend(row.t for row in rows if row.kind == "alias" and row.t)

    def check_tied(self) -> None:
        """Refuse to count aliases as in that are not: the warehouse may have been flushed since they were tied."""
        stored = count_aliases(self._connection, self._revision, self._aliases)
        if stored != len(self._aliases):
            raise PermanentError(
                f"Revision {self._revision} has {len(self._aliases)} alias lines, and {stored} of them are in "
                "`aliases`. Materialize user_map of it first."
            )

    def _fact(self, row: ParsedRow) -> _Fact | None:
        """The row as it comes in, if it is a fact and no filter keeps it out."""
        if row.line > MAX_LINE:
            raise PermanentError(f"Revision {self._revision} has more than {MAX_LINE:,} lines, the most that fit.")
        fact = None
        if row.kind in {"event", "property_set"} and self._filters.lets_in(str(row.identity), row.name):
            kept = [
                (ordinal, key, value)
                for ordinal, (key, value) in enumerate(row.properties, start=1)
                if key not in self._filters.blacklisted_properties
            ]
            fact = _Fact(row, kept) if kept or row.kind == "event" else None
        self.account.add(row, None if fact is None else len(fact.properties))
        return fact


class Account:
    """What became of the lines of a revision: each is counted once, as one of four."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._line = 0
        self._fate = ""
        self._times: list[datetime] = []

    def add(self, row: ParsedRow, properties: int | None) -> None:
        """Take a record into account; ``properties`` is None for a fact that a filter kept out."""
        if row.line != self._line:
            self._close_line()
            self._line = row.line
        is_in = row.kind == "alias" or properties is not None
        if row.kind in {"blank", "rejected"}:
            self._fate = row.kind
        elif is_in:
            self._fate = "imported"
            self._counts[COUNTED_AS[row.kind]] += 1
        else:
            # The other record of the line may have come in.
            self._fate = self._fate or "ignored"
        if properties is not None and row.t is not None:
            self._counts["properties"] += properties
            self._times = [min([*self._times, row.t]), max([*self._times, row.t])]

    def entry(self, parsed: ParsedFile) -> ledger.Entry:
        """What is to be written down, once every record was added."""
        self._close_line()
        t_min, t_max = self._times or (None, None)
        counts = {name: self._counts[name] for name in COUNTS}
        return ledger.Entry(**counts, bytes=parsed.size, etag=parsed.etag, t_min=t_min, t_max=t_max)

    def _close_line(self) -> None:
        if self._line:
            self._counts["lines"] += 1
            self._counts[self._fate] += 1
        self._line, self._fate = 0, ""


def _names(facts: Iterable[_Fact]) -> set[str]:
    names = {fact.row.name for fact in facts if fact.row.name is not None}
    return names | {key for fact in facts for _, key, _ in fact.properties}
