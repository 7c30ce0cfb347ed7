"""Erase people from the tables. Safe to kill and repeat, and safe beside running imports.

* `mark_people` adds every identity of each person to the erasure list, under the lock that interning takes. Imports
  redact these identities from that commit on, so what is removed does not come back.
* `remove_person` removes one person and corrects the ledger in one transaction. It takes locks in the order of a load:
  ledger, facts, map. If the map has changed in the meantime, it changes nothing and is retried.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.erasure.digests import ErasedIdentities
from kmdb_dagster.errors import TransientError
from kmdb_dagster.warehouse.connection.mysql_errors import translate_mysql_errors
from kmdb_dagster.warehouse.connection.server import execute_in_batches, named_lock, select_in_batches, transaction
from kmdb_dagster.warehouse.identity.erasure_list import read_erased_digests
from kmdb_dagster.warehouse.identity.map_lock import lock_generation, lock_generation_shared, lock_map
from kmdb_dagster.warehouse.interning.interning import LOCK_TIMEOUT_SECONDS, USERS
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.ledger.changed_days import (
    days_of_times,
    record_changed_days,
    record_changed_identities,
)
from kmdb_dagster.warehouse.ledger.loaded_filters import replace_filters
from kmdb_dagster.warehouse.loading.filters import read_filters
from kmdb_dagster.warehouse.schema.row_ids import LINE_BITS, MAX_ORDINAL, ORDINAL_BITS, id_range
from kmdb_dagster.warehouse.schema.tables import FACTS

MEMBERS = (
    "SELECT m.user_id, m.identity_id, u.digest FROM user_map m LEFT JOIN users u ON u.id = m.identity_id "
    "WHERE m.user_id IN :ids"
)
OF_PERSON = "FORCE INDEX (by_user) WHERE user_id = {person} AND identity_id IN :ids"
SELECT_EVENTS = f"SELECT id, t FROM events {OF_PERSON}"  # noqa: S608 - ours
SELECT_PROPERTIES = f"SELECT id, t, event_id IS NULL FROM properties {OF_PERSON}"  # noqa: S608 - ours
SELECT_ALIASES = (
    "SELECT id, t FROM aliases WHERE identity1_id IN :ids UNION SELECT id, t FROM aliases WHERE identity2_id IN :ids"
)
REQUESTED = (
    "SELECT digest FROM forgotten_identities f WHERE done_at IS NULL AND NOT EXISTS "
    "(SELECT 1 FROM searched_folders s WHERE s.digest = f.digest AND s.folder_id = :folder)"
)
DIGESTS = "SELECT digest FROM users WHERE id IN :ids"
OF_IDENTITIES = {
    "aliases": "identity1_id IN :ids OR identity2_id IN :ids",
    "identity_spans": "identity_id IN :ids",
    "user_map": "identity_id IN :ids",
    "users": "id IN :ids",
}
"""Deleted in this order. ``users`` is last: an identity in it is still to be erased."""

Row = tuple[Any, ...]


class Person(NamedTuple):
    """A person in the database. Ids can be reused, so ``identities`` maps each id to its digest when it was read."""

    id: int
    identities: dict[int, bytes | None]


class Marked(NamedTuple):
    """What is to be erased."""

    people: list[Person]
    """The people to remove from the tables."""
    digests: set[bytes]
    """The digests that the data folder must be searched for."""
    large: int
    """The number of people that were skipped because they have too many identities."""


class Removed(NamedTuple):
    """Numbers of rows that were removed."""

    identities: int = 0
    events: int = 0
    properties: int = 0
    aliases: int = 0
    rejected_lines: int = 0


def people_of(connection: Connection, erased: ErasedIdentities) -> list[Person]:
    """Return the people of these identities, with all identities that the user map gives them."""
    digests = [f"0x{item.hex()}" for item in erased.digests]
    found: set[int] = set()
    for start in range(0, len(digests), 1000):
        part = ", ".join(digests[start : start + 1000])
        named = f"SELECT m.user_id FROM users u JOIN user_map m ON m.identity_id = u.id WHERE u.digest IN ({part})"  # noqa: S608
        found.update(connection.exec_driver_sql(named).scalars())
    return [Person(person, members) for person, members in sorted(_members(connection, found).items())]


def _members(connection: Connection, people: Collection[int]) -> dict[int, dict[int, bytes | None]]:
    members: dict[int, dict[int, bytes | None]] = {person: {} for person in people}
    for person, identity, digest in select_in_batches(connection, MEMBERS, sorted(people)):
        members[person][identity] = digest
    return members


def size_of(engine: Engine, people: Iterable[Person]) -> Removed:
    """Count the rows that an erasure of these people would remove, without rejected lines."""
    found: Counter[str] = Counter()
    with transaction(engine) as connection:
        for person in people:
            rows = _facts(connection, person)
            aliases = set(select_in_batches(connection, SELECT_ALIASES, person.identities))
            counts = map(len, (person.identities, rows[0], rows[1], aliases))
            found.update(dict(zip(Removed._fields, counts, strict=False)))
    return Removed(**found)


def mark_people(engine: Engine, generation: str, most_identities: int | None, folder: bytes) -> Marked:
    """Add all identities of the requested people to the erasure list. Imports redact them from this commit on.

    Args:
        engine: the warehouse.
        generation: the generation that the ids belong to.
        most_identities: skip people with more identities; None: skip no person.
        folder: the id of the data folder to search.
    """
    with translate_mysql_errors(engine), engine.connect() as connection:
        lock_generation(connection, generation)
        # Released after the commit: interning reads the erasure list under this lock.
        with named_lock(engine, USERS.kind, LOCK_TIMEOUT_SECONDS):
            people = people_of(connection, ErasedIdentities(read_erased_digests(connection)))
            large = [
                person for person in people if len(person.identities) > (most_identities or len(person.identities))
            ]
            chosen = [person for person in people if person not in large]
            for person in chosen:
                _mark(connection, person.identities)
            requested = set(connection.execute(text(REQUESTED), {"folder": folder}).scalars())
            for person in large:
                requested -= {row[0] for row in select_in_batches(connection, DIGESTS, person.identities)}
            connection.commit()
    return Marked(chosen, requested, len(large))


def _mark(connection: Connection, identities: Collection[int]) -> None:
    execute_in_batches(
        connection,
        "INSERT INTO forgotten_identities (digest) SELECT digest FROM users WHERE id IN :ids "
        "ON DUPLICATE KEY UPDATE done_at = NULL",
        identities,
    )


def remove_person(engine: Engine, generation: str, person: Person) -> Removed:
    """Remove the facts, aliases and identities of a marked person.

    Args:
        engine: the warehouse.
        generation: the generation in which the person was read.
        person: the person, as `mark_people` returned it.

    Raises:
        TransientError: the person has changed since it was read, or its ids now belong to other identities.
    """
    with transaction(engine) as connection:
        lock_generation_shared(connection, generation)
        revisions = _revisions(
            _facts(connection, person), select_in_batches(connection, SELECT_ALIASES, person.identities)
        )
        spans = ledger.lock_revisions(connection, revisions)
        events, properties = _facts(connection, person)
        for table in FACTS:
            execute_in_batches(
                connection, f"DELETE f FROM {table} f {OF_PERSON.format(person=person.id)}", person.identities
            )
        lock_map(connection, generation)
        aliases = sorted(set(select_in_batches(connection, SELECT_ALIASES, person.identities)))
        if not _unchanged(connection, person) or not _revisions((events, properties), aliases) <= spans.keys():
            raise TransientError("The identities of a person changed while it was being erased.")
        # Again, in this transaction: the server may have lost the commit of `mark_people`.
        _mark(connection, person.identities)
        for table, which in OF_IDENTITIES.items():
            execute_in_batches(connection, f"DELETE FROM {table} WHERE {which}", person.identities)  # noqa: S608 - ours
        _correct_ledger(connection, spans, events, properties, aliases)
        record_changed_days(connection, days_of_times(row[1] for row in chain(events, properties)))
        record_changed_identities(connection, person.identities)
    return Removed(len(person.identities), len(events), len(properties), len(aliases))


def _facts(connection: Connection, person: Person) -> tuple[list[Row], list[Row]]:
    events, properties = (
        select_in_batches(connection, statement.format(person=person.id), person.identities)
        for statement in (SELECT_EVENTS, SELECT_PROPERTIES)
    )
    return events, properties


def _revisions(facts: Iterable[list[Row]], aliases: Iterable[Row]) -> set[int]:
    return {row[0] >> LINE_BITS + ORDINAL_BITS for row in chain(*facts, aliases)}


def _unchanged(connection: Connection, person: Person) -> bool:
    """Return whether the map still gives this person these identities, and no move of facts is pending.

    The caller holds the exclusive lock on the map. Digests are compared too, because a server that lost commits
    assigns the same ids again, to other identities.
    """
    members = _members(connection, [person.id])[person.id]
    moves = select_in_batches(connection, "SELECT id FROM pending_moves WHERE identity_id IN :ids", person.identities)
    spans = connection.execute(text("SELECT 1 FROM pending_spans LIMIT 1")).scalar()
    return members == person.identities and not moves and not spans


def _correct_ledger(
    connection: Connection,
    spans: dict[int, ledger.Span],
    events: list[Row],
    properties: list[Row],
    aliases: list[Row],
) -> None:
    """Count the removed lines as ignored, as if these records had never been imported."""
    of_lines = {row[0] >> ORDINAL_BITS for row in chain(events, properties)}
    without_fact = [row for row in aliases if row[0] >> ORDINAL_BITS not in of_lines]
    lines = of_lines | {row[0] >> ORDINAL_BITS for row in without_fact if not _has_other_fact(connection, row)}
    counts = {
        "events": _by_revision(row[0] for row in events),
        "properties": _by_revision(row[0] for row in properties),
        "property_sets": _by_revision({row[0] & ~MAX_ORDINAL for row in properties if row[2]}),
        "aliases": _by_revision(row[0] for row in aliases),
        "imported": _by_revision(line << ORDINAL_BITS for line in lines),
    }
    times: dict[int, set[datetime]] = {revision: set() for revision in spans}
    for row in chain(events, properties):
        times[row[0] >> LINE_BITS + ORDINAL_BITS].add(row[1])
    for revision, span in spans.items():
        ledger.subtract_counts(connection, revision, {name: found[revision] for name, found in counts.items()})
        if not times[revision].isdisjoint(span):
            _narrow(connection, revision, span)


def _by_revision(ids: Iterable[int]) -> Counter[int]:
    return Counter(number >> LINE_BITS + ORDINAL_BITS for number in ids)


def _has_other_fact(connection: Connection, alias: Row) -> bool:
    """Return whether the line of an alias has a fact that stays."""
    where = {"first": alias[0], "last": alias[0] | MAX_ORDINAL, "t": alias[1]}
    found = connection.execute(
        text(
            "SELECT 1 FROM events WHERE id = :first AND t = :t "
            "UNION ALL SELECT 1 FROM properties WHERE id BETWEEN :first AND :last AND t = :t LIMIT 1"
        ),
        where,
    )
    return found.scalar() is not None


def _narrow(connection: Connection, revision: int, span: ledger.Span) -> None:
    """Compute the time span of a revision again, after its earliest or latest fact was removed."""
    part = "SELECT t FROM {} WHERE id BETWEEN :first AND :last AND t BETWEEN :t_min AND :t_max"
    facts = " UNION ALL ".join(part.format(table) for table in FACTS)
    found = connection.execute(
        text(f"SELECT MIN(t), MAX(t) FROM ({facts}) facts"),  # noqa: S608 - ours
        {**id_range(revision), **span._asdict()},
    ).one()
    ledger.set_span(connection, revision, ledger.Span(*found))


def remove_from_filters(engine: Engine, erased: ErasedIdentities) -> None:
    """Remove erased identities from `ignored_users`. The digest in the erasure list excludes them from now on.

    So the filters exclude the same as before: revisions that were loaded with them count as loaded with the new ones.
    """
    with transaction(engine) as connection:
        found = connection.execute(text("SELECT id, name FROM ignored_users")).all()
        ids = [row.id for row in found if row.name in erased]
        if ids:
            before = read_filters(connection).digest()
            execute_in_batches(connection, "DELETE FROM ignored_users WHERE id IN :ids", ids)
            replace_filters(connection, before, read_filters(connection).digest())
