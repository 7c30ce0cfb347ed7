"""Change the filters and the placeholders, and compare what is loaded with them."""

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.digest import digest
from kmdb_dagster.errors import RequestError
from kmdb_dagster.warehouse.connection.server import select_in_batches, transaction
from kmdb_dagster.warehouse.identity.erasure_list import read_erased_digests
from kmdb_dagster.warehouse.identity.rules import is_rule_pending
from kmdb_dagster.warehouse.ledger.loaded_filters import loaded_with
from kmdb_dagster.warehouse.loading.filters import Filters, read_filters


class NameList(StrEnum):
    """A list of names that decides what is imported, or which alias lines connect people. The value is its table."""

    IGNORE = "ignored_users"
    WHITELIST = "whitelisted_events"
    BLACKLIST = "blacklisted_properties"
    PLACEHOLDER = "placeholder_identities"

    @property
    def holds_identities(self) -> bool:
        """Whether its names are personal data."""
        return self in {NameList.IGNORE, NameList.PLACEHOLDER}


class Change(NamedTuple):
    """Names to add to a list, and names to remove from it."""

    names: NameList
    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()


class Changed(NamedTuple):
    """Counts of names: added, removed, and refused because they are erased, so imports exclude them already."""

    added: int
    removed: int
    erased: int


class FiltersInForce(NamedTuple):
    """The number of names in each list, and what was loaded or resolved with other ones."""

    counts: dict[NameList, int]
    other: list[int]
    """Revisions that were loaded with other filters."""
    not_recorded: int
    """Revisions that were loaded before the ledger recorded filters."""
    is_rule_pending: bool
    """The user map was built with other placeholders, ignored identities or another KMDB_NUMERIC_APART."""

    @property
    def is_current(self) -> bool:
        """Whether everything that is imported follows the current filters, as far as the ledger knows."""
        return not self.other and not self.is_rule_pending

    def as_dict(self) -> dict[str, object]:
        """Return the values for JSON."""
        return {**self._asdict(), "counts": {str(names): count for names, count in self.counts.items()}}


def read_filters_in_force(engine: Engine, *, numeric_apart: bool) -> FiltersInForce:
    """Count the names, and compare the imported revisions and the user map with them."""
    with transaction(engine) as connection:
        counts = {names: len(read_names(connection, names)) for names in NameList}
        current = read_filters(connection).digest()
    used = loaded_with(engine, current)
    return FiltersInForce(counts, used.other, used.not_recorded, is_rule_pending(engine, numeric_apart=numeric_apart))


def read_names(connection: Connection, names: NameList) -> frozenset[str]:
    """Read a list."""
    return frozenset(connection.execute(text(f"SELECT name FROM {names}")).scalars())  # noqa: S608 - ours


def apply_change(engine: Engine, change: Change) -> Changed:
    """Change a list. Names that are there already, or are not there, do not count. Idempotent."""
    with transaction(engine) as connection:
        there = read_names(connection, change.names)
        wanted = change.add - there
        erased = _erased(connection, wanted) if change.names.holds_identities else frozenset()
        added, removed = sorted(wanted - erased), sorted(change.remove & there)
        for statement, rows in (
            (f"INSERT INTO {change.names} (name) VALUES (:name)", added),  # noqa: S608 - ours
            (f"DELETE FROM {change.names} WHERE name = :name", removed),  # noqa: S608 - ours
        ):
            if rows:
                connection.execute(text(statement), [{"name": name} for name in rows])
    return Changed(len(added), len(removed), len(erased))


def filters_after(connection: Connection, changes: Iterable[Change]) -> Filters:
    """Return the filters as they would be after changes. Nothing is changed."""
    filters = read_filters(connection)
    for change in changes:
        if change.names is not NameList.PLACEHOLDER:
            field = str(change.names)
            filters = filters._replace(**{field: (getattr(filters, field) | change.add) - change.remove})
    return filters


def names_of_ids(engine: Engine, ids: Collection[int]) -> frozenset[str]:
    """Return the identities with these ids.

    Raises:
        RequestError: ``users`` lacks an id.
    """
    with transaction(engine) as connection:
        found = {int(row[0]): str(row[1]) for row in select_in_batches(connection, NAMES_OF_IDS, ids)}
    unknown = sorted(set(ids) - found.keys())
    if unknown:
        raise RequestError(
            f"The table `users` has no id {unknown[0]}. Look up the id of the identity there. `kmdb filter ignore add` "
            "accepts identities that were never imported."
        )
    return frozenset(found.values())


NAMES_OF_IDS = "SELECT id, name FROM users WHERE id IN :ids"


def _erased(connection: Connection, names: Iterable[str]) -> frozenset[str]:
    digests = read_erased_digests(connection)
    return frozenset(name for name in names if digest(name) in digests)
