"""Alias lines as they are stored, and the incremental update of the user map: one transaction for a group of revisions.

The cost depends on the people that the alias lines of the revisions touch, not on the size of the map.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.errors import TransientError
from kmdb_dagster.warehouse.connection.server import insert, select_in_batches, transaction
from kmdb_dagster.warehouse.identity.erasure_list import ERASED_MEANWHILE, read_erased_digests
from kmdb_dagster.warehouse.identity.map_lock import lock_generation_shared, lock_map
from kmdb_dagster.warehouse.identity.merge import Edges, merge_people, recompute_people
from kmdb_dagster.warehouse.identity.rules import Rule, adopt_rule
from kmdb_dagster.warehouse.identity.user_map import update_map
from kmdb_dagster.warehouse.interning.lookup import identity_ids
from kmdb_dagster.warehouse.loading.leftovers import Leftovers
from kmdb_dagster.warehouse.schema.row_ids import LINE_BITS, ORDINAL_BITS, id_ranges

REVISION_BITS = LINE_BITS + ORDINAL_BITS

STORE_RESOLVED = "REPLACE INTO resolved_revisions (revision, etag, t_min, t_max) VALUES (%s, %s, %s, %s)"
STORE_ALIASES = "INSERT INTO aliases (id, t, name1, name2, identity1_id, identity2_id) VALUES (%s, %s, %s, %s, %s, %s)"
RECORD_WITHOUT_ALIASES = (
    "INSERT INTO resolved_revisions (revision, etag) VALUES (%s, %s) "
    "ON DUPLICATE KEY UPDATE etag = IF(t_min IS NULL, VALUES(etag), etag)"
)


class AliasLine(NamedTuple):
    """An alias line as it is in the export."""

    id: int
    t: datetime
    name1: str
    name2: str


class StoredAlias(NamedTuple):
    """An alias line as it is stored, with the ids of its identities."""

    id: int
    t: datetime
    name1: str
    name2: str
    identity1: int
    identity2: int


class ResolvedFile(NamedTuple):
    """The file from which a revision was resolved, and the span of its alias lines; None: it has no alias lines."""

    etag: str | None
    t_min: datetime | None
    t_max: datetime | None


class AliasFile(NamedTuple):
    """The alias lines of a revision, in order, and the ETag of their file; None: KM never wrote the number."""

    revision: int
    etag: str | None
    lines: Sequence[AliasLine]

    def resolved(self) -> ResolvedFile:
        """Return what is recorded of it."""
        times = [line.t for line in self.lines]
        return ResolvedFile(self.etag, min(times, default=None), max(times, default=None))


def replace_aliases(
    engine: Engine,
    files: Collection[AliasFile],
    *,
    numeric_apart: bool = False,
    erased: frozenset[bytes] = frozenset(),
    leftovers: Leftovers | None = None,
) -> Counter[int]:
    """Replace the stored alias lines of a group of revisions, and update the user map. Idempotent.

    If the lines are unchanged, this only reads. The map is not locked if the revisions have no alias lines and had
    none. Identity ids are looked up in the transaction that stores them.

    Args:
        engine: the warehouse.
        files: all alias lines of the revisions. Their identities are interned.
        numeric_apart: what KMDB_NUMERIC_APART says; it applies only while no alias is stored
            (`warehouse.identity.rules`).
        erased: the digests of the identities that were redacted from the lines.
        leftovers: what is known of rows that ``resolved_revisions`` does not know; None: nothing.

    Returns:
        How many identities got another person, by the revision whose alias line merged them first.

    Raises:
        TransientError: another identity was erased since ``erased`` was read.
        UnresolvedError: an identity is no longer in: intern it again.
        RowsInTheWayError: there are rows that are not known, since a moment ago: try again.
    """
    leftovers = leftovers or Leftovers("aliases")
    with transaction(engine) as connection:
        new = _not_stored(connection, files)
    if not new or (not any(file.lines for file in new) and _record_without_aliases(engine, new, leftovers)):
        return Counter()
    with transaction(engine) as connection, leftovers.retried():
        lock_map(connection)
        if read_erased_digests(connection) != erased:
            raise TransientError(ERASED_MEANWHILE)
        return _replace(connection, new, adopt_rule(connection, numeric_apart=numeric_apart), leftovers)


def read_resolved(connection: Connection, revisions: Collection[int]) -> dict[int, ResolvedFile]:
    """Return what revisions were resolved from. Those that never were are left out."""
    statement = "SELECT revision, etag, t_min, t_max FROM resolved_revisions WHERE revision IN :ids"
    return {row[0]: ResolvedFile(*row[1:]) for row in select_in_batches(connection, statement, revisions)}


def count_aliases(connection: Connection, resolved: Mapping[int, ResolvedFile]) -> Counter[int]:
    """Count the stored alias lines of resolved revisions."""
    spans = {revision: file for revision, file in resolved.items() if file.t_min and file.t_max}
    if not spans:
        return Counter()
    # Within their times: the server looks into few time partitions.
    statement = text(
        f"SELECT id >> {REVISION_BITS}, COUNT(*) FROM aliases WHERE {id_ranges(spans)} "  # noqa: S608 - numbers
        "AND t BETWEEN :t_min AND :t_max GROUP BY 1"
    )
    times = [t for file in spans.values() for t in (file.t_min, file.t_max) if t]
    found = connection.execute(statement, {"t_min": min(times), "t_max": max(times)})
    return Counter({int(revision): int(count) for revision, count in found})


def _not_stored(connection: Connection, files: Collection[AliasFile]) -> list[AliasFile]:
    """Return the files whose alias lines are not stored as they are."""
    resolved = read_resolved(connection, [file.revision for file in files])
    known = [file for file in files if resolved.get(file.revision) == file.resolved()]
    stored, expected = _stored(connection, [file.revision for file in known]), _with_ids(connection, known)
    same = {file.revision for file in known if stored.get(file.revision) == expected.get(file.revision)}
    return [file for file in files if file.revision not in same]


def _record_without_aliases(engine: Engine, files: Collection[AliasFile], leftovers: Leftovers) -> bool:
    """Record that revisions without alias lines are resolved, without a lock on the map.

    A process that stores alias lines of the same revision writes the same row: it waits, and then has the last word; or
    its row is found here, with times.

    Returns:
        False: alias lines of these revisions are stored, so the map may have to change.
    """
    revisions = [file.revision for file in files]
    with transaction(engine) as connection:
        lock_generation_shared(connection)
        resolved = read_resolved(connection, revisions)
        unknown = [revision for revision in revisions if revision not in resolved]
        if any(leftovers.may_be_there(connection, revision) for revision in unknown) or _stored(connection, resolved):
            return False
        insert(connection, RECORD_WITHOUT_ALIASES, [(file.revision, file.etag) for file in files])
        return not any(file.t_min for file in read_resolved(connection, revisions).values())


def _replace(connection: Connection, files: Collection[AliasFile], rule: Rule, leftovers: Leftovers) -> Counter[int]:
    revisions = [file.revision for file in files]
    resolved = read_resolved(connection, revisions)
    may_be_stored = [
        revision for revision in revisions if revision in resolved or leftovers.may_be_there(connection, revision)
    ]
    before, stored = _stored(connection, may_be_stored), _with_ids(connection, files)
    if before:
        connection.exec_driver_sql(f"DELETE FROM aliases WHERE {id_ranges(before)}")  # noqa: S608 - numbers
    insert(connection, STORE_RESOLVED, [(file.revision, *file.resolved()) for file in files])
    insert(connection, STORE_ALIASES, [tuple(line) for lines in stored.values() for line in lines])
    edges = {revision: _edges(lines, rule) for revision, lines in stored.items()}
    edges_now: Edges = set().union(*edges.values())
    edges_before: Edges = set().union(*(_edges(lines, rule) for lines in before.values()))
    # With numeric identities apart, a new line or another time of the same line can split a person.
    if rule.apart or edges_before - edges_now:
        return _by_revision(update_map(connection, recompute_people(connection, edges_now | edges_before, rule)), edges)
    return _by_revision(update_map(connection, merge_people(connection, edges_now)), edges)


def _by_revision(changed: Mapping[int, int], edges: Mapping[int, Edges]) -> Counter[int]:
    """Count changed identities by the first revision with an edge in their new person, else by the first one."""
    first: dict[int, int] = {}
    for revision, pairs in edges.items():
        for one, other in pairs:
            for end in (one, other):
                first.setdefault(changed.get(end, end), revision)
    return Counter(first.get(person, next(iter(edges), 0)) for person in changed.values())


def _with_ids(connection: Connection, files: Collection[AliasFile]) -> dict[int, list[StoredAlias]]:
    """Return the lines of the files that have any as they are to be stored, by revision."""
    names = {name for file in files for line in file.lines for name in (line.name1, line.name2)}
    ids = identity_ids(connection, names)
    return {
        file.revision: [StoredAlias(*line, ids[line.name1], ids[line.name2]) for line in file.lines]
        for file in files
        if file.lines
    }


def _stored(connection: Connection, revisions: Collection[int]) -> dict[int, list[StoredAlias]]:
    """Return the stored alias lines by revision, wherever they are: their times may have been edited."""
    if not revisions:
        return {}
    found: dict[int, list[StoredAlias]] = {}
    for row in connection.exec_driver_sql(
        "SELECT id, t, name1, name2, identity1_id, identity2_id FROM aliases "  # noqa: S608 - numbers
        f"WHERE {id_ranges(revisions)} ORDER BY id"
    ):
        found.setdefault(row[0] >> REVISION_BITS, []).append(StoredAlias(*row))
    return found


def _edges(stored: Iterable[StoredAlias], rule: Rule) -> Edges:
    """Return the alias edges of these lines."""
    return {
        (min(line.identity1, line.identity2), max(line.identity1, line.identity2))
        for line in stored
        if rule.connects(line.name1, line.name2)
    }
