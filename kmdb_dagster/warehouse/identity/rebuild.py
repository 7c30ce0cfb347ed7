"""Rebuild the whole user map from ``aliases`` with the requested rule, and apply it to all facts (`kmdb realias`).

Imports keep the map up to date. A rebuild puts another rule in force, and repairs ``aliases``, ``user_map`` or facts
that were edited by hand.

One transaction changes the map, and records pending spans for all facts (spans of time, not partitions: those may be
split meanwhile). A rebuild that is killed is completed by the next rebuild or the next import.
"""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Engine, text

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.connection.server import insert, transaction
from kmdb_dagster.warehouse.connection.streams import numbers, stream
from kmdb_dagster.warehouse.identity import spans, user_map
from kmdb_dagster.warehouse.identity.components import resolve_identities, without
from kmdb_dagster.warehouse.identity.map_lock import increment_map_version, lock_map
from kmdb_dagster.warehouse.identity.resolution import AliasEdges
from kmdb_dagster.warehouse.identity.rules import Rule, excluded_ids, requested_rule, store_rule
from kmdb_dagster.warehouse.identity.user_map import Progress
from kmdb_dagster.warehouse.interning.interning import intern_identities
from kmdb_dagster.warehouse.ledger.changed_days import record_changed_names
from kmdb_dagster.warehouse.maintenance.time_partitions import Partition, read_partitions
from kmdb_dagster.warehouse.schema.columns import IntColumn
from kmdb_dagster.warehouse.schema.state_rows import restore_map_state
from kmdb_dagster.warehouse.schema.tables import FACTS
from kmdb_dagster.wording import counted

SPAN = "INSERT INTO pending_spans (table_name, t_min, t_max) VALUES (%s, %s, %s)"

DELETE_UNNAMED = "DELETE m FROM user_map m LEFT JOIN users u ON u.id = m.identity_id WHERE u.id IS NULL"
UNNAMED_ALIASES = (
    "SELECT COUNT(*) FROM aliases a LEFT JOIN users u ON u.id = a.identity1_id "
    "LEFT JOIN users o ON o.id = a.identity2_id "
    "WHERE u.id IS NULL OR o.id IS NULL OR u.name <> a.name1 OR o.name <> a.name2"
)
ENDS = (("identity1_id", "name1"), ("identity2_id", "name2"))
LOST_NAMES = [
    f"SELECT DISTINCT a.{name} FROM aliases a LEFT JOIN users u ON u.id = a.{identity} WHERE u.id IS NULL"  # noqa: S608 - ours
    for identity, name in ENDS
]
LOOK_UP_IDS = [
    f"UPDATE aliases a JOIN users u ON u.digest = UNHEX(SHA2(a.{name}, 256)) SET a.{identity} = u.id "  # noqa: S608 - ours
    f"WHERE a.{identity} <> u.id"
    for identity, name in ENDS
]

FIRST = datetime(1000, 1, 1)  # noqa: DTZ001 - as the server has it
LAST = datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 - as above


class Realiased(NamedTuple):
    """Counts: identities that got another person, and identities whose facts were moved."""

    identities: int
    moved: int


class Preview(NamedTuple):
    """What a rebuild would change, as counts of identities and people."""

    identities: int
    """Identities that would get another person."""
    people: int
    """People as the map has them now."""
    people_then: int

    def __str__(self) -> str:
        """Return a sentence."""
        changes = f"{counted(self.identities, 'identity')} would get another person."
        if not self.identities:
            return changes
        return f"{changes} There would be {counted(self.people_then, 'person', 'people')} instead of {self.people:,}."


def preview_realias(engine: Engine, *, numeric_apart: bool = False, report: Progress = lambda *_: None) -> Preview:
    """Count what a rebuild of the map would change. Changes nothing, and waits for no lock.

    Args:
        engine: the warehouse.
        numeric_apart: KMDB_NUMERIC_APART, which the rebuild would put into force.
        report: progress: what is done, the number done, the total.

    Raises:
        PermanentError: alias lines name identities that ``users`` lacks. A rebuild adds them first.
    """
    # One snapshot: imports may change the map between the reads.
    with transaction(engine.execution_options(isolation_level="REPEATABLE READ")) as connection:
        if unnamed := connection.execute(text(UNNAMED_ALIASES)).scalar_one():
            raise PermanentError(
                f"Run `kmdb realias` without a preview. {counted(unnamed, 'alias line')} and `users` disagree, so "
                "`aliases` or `users` was edited by hand. A rebuild restores these identities first."
            )
        rebuilt = _resolve(connection, requested_rule(connection, numeric_apart=numeric_apart), report)
    known = rebuilt.before[rebuilt.before != 0]
    return Preview(len(rebuilt.changed), len(np.unique(known)), len(np.unique(rebuilt.person)))


def realias(
    engine: Engine, generation: str, *, numeric_apart: bool = False, report: Progress = lambda *_: None
) -> Realiased:
    """Rebuild the map and apply it. Idempotent; safe to kill.

    Also restores what edits by hand have removed: the row of ``map_state``, ``identity_spans``, and the identities that
    ``aliases`` names and ``users`` lacks.

    Args:
        engine: the warehouse.
        generation: the generation of the ids. A flush meanwhile is a transient error.
        numeric_apart: KMDB_NUMERIC_APART, which is put into force.
        report: progress: what is done, the number done, the total.
    """
    restore_map_state(engine)
    # Before the map changes: pending moves are recorded by these spans.
    spans.restore(engine, report)
    with transaction(engine) as connection:
        unnamed = connection.execute(text(UNNAMED_ALIASES)).scalar_one()
    if unnamed:
        _intern_alias_names(engine)
        _look_up_alias_ids(engine, generation)
    changed = _change_map(engine, generation, report, numeric_apart=numeric_apart)
    return Realiased(changed, user_map.move_facts(engine, report))


def _change_map(engine: Engine, generation: str, report: Progress, *, numeric_apart: bool) -> int:
    with transaction(engine) as connection:
        # Spans of a rebuild that was killed. Before `lock_map`: a search of a span holds the row of the span.
        connection.execute(text("DELETE FROM pending_spans"))
        lock_map(connection, generation)
        rule = requested_rule(connection, numeric_apart=numeric_apart)
        store_rule(connection, rule)
        deleted = connection.execute(text(DELETE_UNNAMED)).rowcount
        changed = _rebuild(connection, rule, report)
        if deleted or changed:
            record_changed_names(connection)
        insert(connection, SPAN, _spans(connection))
    return changed


def _intern_alias_names(engine: Engine) -> None:
    """Add the names in ``aliases`` that ``users`` lacks."""
    with transaction(engine) as connection:
        names = {str(name) for statement in LOST_NAMES for name in connection.execute(text(statement)).scalars()}
    intern_identities(engine, names)


def _look_up_alias_ids(engine: Engine, generation: str) -> None:
    """Give alias lines the ids that their names have in ``users``."""
    with transaction(engine) as connection:
        lock_map(connection, generation)
        for statement in LOOK_UP_IDS:
            connection.execute(text(statement))


class _Rebuilt(NamedTuple):
    """All identities in order, with their person before and after a rebuild."""

    identities: IntColumn
    before: IntColumn
    """0 for an identity that the map lacks."""
    person: IntColumn

    @property
    def changed(self) -> IntColumn:
        """The positions of the identities whose person changes."""
        return np.flatnonzero(self.before != self.person)


def _rebuild(connection: Connection, rule: Rule, report: Progress) -> int:
    rebuilt = _resolve(connection, rule, report)
    changed = rebuilt.changed
    if len(changed):
        increment_map_version(connection)
        _write(connection, rebuilt.identities[changed], rebuilt.person[changed], report)
    return len(changed)


def _resolve(connection: Connection, rule: Rule, report: Progress) -> _Rebuilt:
    lines = without(_lines(connection, rule, report), excluded_ids(connection, rule))
    names = _Names(connection, report)
    resolved, found = resolve_identities(lines, np.empty(0, dtype=np.int64), names, apart=rule.apart)
    identities = np.concatenate(names.identities)
    # An identity without alias lines is its own canonical identity.
    person = identities.copy()
    person[np.searchsorted(identities, resolved)] = found
    return _Rebuilt(identities, _before(connection, identities, report), person)


def _lines(connection: Connection, rule: Rule, report: Progress) -> AliasEdges:
    # The time counts only where numeric identities stay apart.
    t = "TO_SECONDS(t)" if rule.apart else "0"
    parts = [np.empty((0, 3), dtype=np.int64)]
    for rows in stream(connection, f"SELECT identity1_id, identity2_id, {t} FROM aliases"):  # noqa: S608 - ours
        parts.append(numbers(rows))
        report("reading aliases", sum(map(len, parts)), 0)
    return AliasEdges(*(np.ascontiguousarray(column) for column in np.concatenate(parts).T))


class _Names:
    """Reads all names, one after another, which is far faster than to ask for many; gives those that are wanted."""

    def __init__(self, connection: Connection, report: Progress) -> None:
        self._connection = connection
        self._report = report
        self.identities: list[IntColumn] = [np.empty(0, dtype=np.int64)]
        """All that there are, in order, once the names were read."""

    def __call__(self, wanted: IntColumn) -> list[Any]:
        """The names of these identities, which are in order."""
        found = []
        for rows in stream(self._connection, "SELECT id, name FROM users ORDER BY id"):
            numbers_read, names = zip(*rows, strict=True)
            part = np.array(numbers_read, dtype=np.int64)
            first, last = np.searchsorted(wanted, (part[0], part[-1] + 1))
            kept = np.isin(part, wanted[first:last], assume_unique=True)
            found.append(pa.array(names, pa.large_string()).filter(pa.array(kept)))
            self.identities.append(part)
            self._report("reading names", sum(map(len, self.identities)), 0)
        return found


def _before(connection: Connection, identities: IntColumn, report: Progress) -> IntColumn:
    """The person of each of these, which are in order, as the map has it; 0 for one that it lacks."""
    before = np.zeros(len(identities), dtype=np.int64)
    if not len(identities):
        return before
    done = 0
    for rows in stream(connection, "SELECT identity_id, user_id FROM user_map"):
        identity, person = numbers(rows).T
        place = np.minimum(np.searchsorted(identities, identity), len(identities) - 1)
        known = identities[place] == identity
        before[place[known]] = person[known]
        done += len(rows)
        report("reading the map", done, 0)
    return before


def _write(connection: Connection, identities: IntColumn, person: IntColumn, report: Progress) -> None:
    for start in range(0, len(identities), user_map.MAPPED_PER_STATEMENT):
        part = slice(start, start + user_map.MAPPED_PER_STATEMENT)
        user_map.write_map(connection, list(zip(identities[part].tolist(), person[part].tolist(), strict=True)))
        report("writing the map", min(part.stop, len(identities)), len(identities))


def _spans(connection: Connection) -> list[tuple[str, datetime, datetime]]:
    """All time, cut as the tables of facts are now."""
    found = read_partitions(connection)
    return [
        (table, *span)
        for table in FACTS
        for span in _between([partition for partition in found if partition.table == table])
    ]


def _between(partitions: list[Partition]) -> Iterator[tuple[datetime, datetime]]:
    start = FIRST
    for partition in partitions:
        bound = None if partition.before is None else datetime.combine(partition.before, time())
        yield start, LAST if bound is None else bound - timedelta(seconds=1)
        start = bound or LAST
