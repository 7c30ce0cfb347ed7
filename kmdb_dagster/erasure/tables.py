"""The removal of people from the tables: of all that ``forgotten_identities`` names.

May be killed anywhere and run again, and imports may run beside it:

* `mark_people` waits for whoever uses ids, writes down every identity of each person, and lets go. Whoever comes after
  it sees them, and leaves them out. So what is removed does not come back.
* `remove_person` removes one person in one transaction, and puts the ledger right in it. Locks are taken in the order
  of a load: ledger, facts, map. If the map has changed meanwhile, nothing is done, and it is to be tried again.
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
from kmdb_dagster.warehouse.connection.server import named_lock, select_in_batches, transaction
from kmdb_dagster.warehouse.identity.erasure_list import read_erased_digests
from kmdb_dagster.warehouse.identity.map_lock import lock_generation, lock_generation_shared, lock_map
from kmdb_dagster.warehouse.identity.user_map import Progress
from kmdb_dagster.warehouse.interning.interning import LOCK_TIMEOUT_SECONDS, USERS
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.schema.tables import FACTS, LINE_BITS, MAX_ORDINAL, ORDINAL_BITS, id_range

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
ASKED = (
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
"""In this order: an identity in ``users`` is what is left to do."""

Row = tuple[Any, ...]


class Person(NamedTuple):
    """A person that is in. Ids can change hands, so ``identities`` maps each to the digest it had when it was read."""

    id: int
    identities: dict[int, bytes | None]


class Marked(NamedTuple):
    """Who is to be removed: the people that are in, and the digests that a data folder is to be searched for.

    ``large`` counts people that were passed over.
    """

    people: list[Person]
    digests: set[bytes]
    large: int


class Removed(NamedTuple):
    """Rows that were removed."""

    identities: int = 0
    events: int = 0
    properties: int = 0
    aliases: int = 0
    rejected_lines: int = 0


def people_of(connection: Connection, forgotten: ErasedIdentities) -> list[Person]:
    """The people that have one of these identities and are in, as the map has them."""
    digests = [f"0x{item.hex()}" for item in forgotten.digests]
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
    """What forgetting these people would remove, but for refused lines, which are not counted."""
    found: Counter[str] = Counter()
    with transaction(engine) as connection:
        for person in people:
            rows = _facts(connection, person)
            aliases = set(select_in_batches(connection, SELECT_ALIASES, person.identities))
            counts = map(len, (person.identities, rows[0], rows[1], aliases))
            found.update(dict(zip(Removed._fields, counts, strict=False)))
    return Removed(**found)


def mark_people(engine: Engine, generation: str, most_identities: int | None, folder: bytes) -> Marked:
    """Write down all identities of the people to be forgotten. From then on nothing of them comes in.

    Args:
        engine: the warehouse.
        generation: that of the ids.
        most_identities: pass over people of more identities; None: over none.
        folder: the id of the data folder to search.
    """
    with translate_mysql_errors(engine), engine.connect() as connection:
        lock_generation(connection, generation)
        # Let go after the commit: who adds identities looks, when it holds this lock, whether they are forgotten.
        with named_lock(engine, USERS.kind, LOCK_TIMEOUT_SECONDS):
            people = people_of(connection, ErasedIdentities(read_erased_digests(connection)))
            large = [
                person for person in people if len(person.identities) > (most_identities or len(person.identities))
            ]
            chosen = [person for person in people if person not in large]
            for person in chosen:
                _mark(connection, person.identities)
            asked = set(connection.execute(text(ASKED), {"folder": folder}).scalars())
            for person in large:
                asked -= {row[0] for row in select_in_batches(connection, DIGESTS, person.identities)}
            connection.commit()
    return Marked(chosen, asked, len(large))


def _mark(connection: Connection, identities: Collection[int]) -> None:
    _execute_in_batches(
        connection,
        "INSERT INTO forgotten_identities (digest) SELECT digest FROM users WHERE id IN :ids "
        "ON DUPLICATE KEY UPDATE done_at = NULL",
        identities,
    )


def remove_person(engine: Engine, generation: str, person: Person) -> Removed:
    """Remove a person that is marked: facts, aliases, identities.

    Raises:
        TransientError: the person changed meanwhile, or its ids belong to other identities by now.
    """
    with transaction(engine) as connection:
        lock_generation_shared(connection, generation)
        revisions = _revisions(
            _facts(connection, person), select_in_batches(connection, SELECT_ALIASES, person.identities)
        )
        spans = ledger.lock_revisions(connection, revisions)
        events, properties = _facts(connection, person)
        for table in FACTS:
            _execute_in_batches(
                connection, f"DELETE f FROM {table} f {OF_PERSON.format(person=person.id)}", person.identities
            )
        lock_map(connection, generation)
        aliases = sorted(set(select_in_batches(connection, SELECT_ALIASES, person.identities)))
        if not _unchanged(connection, person) or not _revisions((events, properties), aliases) <= spans.keys():
            raise TransientError("A person that is to be forgotten changed meanwhile.")
        # Again: a server that lost commits after `mark_people` would let the person back in.
        _mark(connection, person.identities)
        for table, which in OF_IDENTITIES.items():
            _execute_in_batches(connection, f"DELETE FROM {table} WHERE {which}", person.identities)  # noqa: S608 - ours
        _put_ledger_right(connection, spans, events, properties, aliases)
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
    """Whether the map, which is held alone, has these identities under this person, and no fact is elsewhere.

    Digests are compared too: a server that lost commits hands the same ids out again, to other identities.
    """
    members = _members(connection, [person.id])[person.id]
    moves = select_in_batches(connection, "SELECT id FROM pending_moves WHERE identity_id IN :ids", person.identities)
    spans = connection.execute(text("SELECT 1 FROM pending_spans LIMIT 1")).scalar()
    return members == person.identities and not moves and not spans


def _put_ledger_right(
    connection: Connection,
    spans: dict[int, ledger.Span],
    events: list[Row],
    properties: list[Row],
    aliases: list[Row],
) -> None:
    """As it would be if these records had never come in: their lines are ignored."""
    of_lines = {row[0] >> ORDINAL_BITS for row in chain(events, properties)}
    alone = [row for row in aliases if row[0] >> ORDINAL_BITS not in of_lines]
    gone = of_lines | {row[0] >> ORDINAL_BITS for row in alone if not _says_more(connection, row)}
    counts = {
        "events": _by_revision(row[0] for row in events),
        "properties": _by_revision(row[0] for row in properties),
        "property_sets": _by_revision({row[0] & ~MAX_ORDINAL for row in properties if row[2]}),
        "aliases": _by_revision(row[0] for row in aliases),
        "imported": _by_revision(line << ORDINAL_BITS for line in gone),
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


def _says_more(connection: Connection, alias: Row) -> bool:
    """Whether the line of an alias has a fact that stays."""
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
    """What was removed was at one end of the revision's time."""
    part = "SELECT t FROM {} WHERE id BETWEEN :first AND :last AND t BETWEEN :t_min AND :t_max"
    facts = " UNION ALL ".join(part.format(table) for table in FACTS)
    found = connection.execute(
        text(f"SELECT MIN(t), MAX(t) FROM ({facts}) facts"),  # noqa: S608 - ours
        {**id_range(revision), **span._asdict()},
    ).one()
    ledger.set_span(connection, revision, ledger.Span(*found))


def remove_rejected(engine: Engine, forgotten: ErasedIdentities, report: Progress = lambda *_: None) -> int:
    """Remove the refused lines that name a forgotten person. Looks at all of them."""
    with transaction(engine) as connection:
        revisions = list(connection.execute(text("SELECT revision FROM revisions WHERE rejected > 0")).scalars())
    removed = 0
    for number, revision in enumerate(revisions, start=1):
        with transaction(engine) as connection:
            if _naming(connection, revision, forgotten):
                ledger.lock_revisions(connection, [revision])
                removed += _remove_lines(connection, revision, _naming(connection, revision, forgotten))
        report("looking through refused lines, revisions", number, len(revisions))
    return removed


def _naming(connection: Connection, revision: int, forgotten: ErasedIdentities) -> list[int]:
    # A line may have 16 MiB: few are held at a time.
    found = connection.execution_options(stream_results=True, max_row_buffer=8).execute(
        text("SELECT line, raw FROM rejected_lines WHERE revision = :revision"), {"revision": revision}
    )
    return [int(line) for line, raw in found if forgotten.named_in(bytes(raw))]


def _remove_lines(connection: Connection, revision: int, lines: Collection[int]) -> int:
    _execute_in_batches(connection, f"DELETE FROM rejected_lines WHERE revision = {revision} AND line IN :ids", lines)  # noqa: S608
    ledger.subtract_counts(connection, revision, {"rejected": len(lines)})
    return len(lines)


def remove_from_filters(engine: Engine, forgotten: ErasedIdentities) -> None:
    """Nobody needs to be ignored by name who is forgotten."""
    with transaction(engine) as connection:
        found = connection.execute(text("SELECT id, name FROM ignored_users")).all()
        _execute_in_batches(
            connection,
            "DELETE FROM ignored_users WHERE id IN :ids",
            [row.id for row in found if row.name in forgotten],
        )


def _execute_in_batches(connection: Connection, statement: str, ids: Collection[int]) -> None:
    numbers = sorted(ids)
    for start in range(0, len(numbers), 1000):
        part = ",".join(map(str, numbers[start : start + 1000]))
        connection.exec_driver_sql(statement.replace(":ids", f"({part})"))
