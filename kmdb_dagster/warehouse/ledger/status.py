"""The status of the warehouse as values: ledger totals, people, time partitions, pending work. No text."""

from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Engine, text

from kmdb_dagster.warehouse.connection.bindings import bucket_of, known_folders
from kmdb_dagster.warehouse.connection.server import server_of, transaction
from kmdb_dagster.warehouse.identity.erasure_list import count_pending_erasures
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.maintenance.filter_changes import FiltersInForce, read_filters_in_force
from kmdb_dagster.warehouse.maintenance.indexes import missing
from kmdb_dagster.warehouse.maintenance.retention import facts_from
from kmdb_dagster.warehouse.maintenance.time_partitions import covered_until, read_partitions

PEOPLE = (
    "SELECT COUNT(DISTINCT IF(s.identity_id IS NULL, NULL, m.user_id)), COUNT(*) "
    "FROM user_map m LEFT JOIN identity_spans s ON s.identity_id = m.identity_id"
)


class Overview(NamedTuple):
    """The values that `kmdb status` prints."""

    server: str
    bucket: str | None
    data_folders: list[str]
    totals: ledger.Totals
    people: int
    """People that have events or properties."""
    identities: int
    """All that were ever read, also of revisions that failed and of people that are filtered."""
    pending_moves: int
    pending_spans: int
    filters: FiltersInForce
    indexes_are_missing: bool
    incomplete_erasures: int
    partitions_until: date | None
    facts_from: datetime | None
    failures: list[tuple[int, str]]
    in_the_future: int

    def as_dict(self) -> dict[str, object]:
        """Return the values for JSON."""
        return {**self._asdict(), "totals": self.totals._asdict(), "filters": self.filters.as_dict()}


def read(engine: Engine, *, numeric_apart: bool) -> Overview:
    """Read the status of the warehouse."""
    with transaction(engine) as connection:
        server = str(server_of(connection))
        until, kept_from = covered_until(read_partitions(connection)), facts_from(connection)
        people, identities = connection.execute(text(PEOPLE)).one()
        moves, spans = connection.execute(
            text("SELECT (SELECT COUNT(*) FROM pending_moves), (SELECT COUNT(*) FROM pending_spans)")
        ).one()
        bucket, folders = bucket_of(connection), [str(folder) for folder in known_folders(connection)]
        erasures, indexes = count_pending_erasures(connection), bool(missing(connection))
    filters = read_filters_in_force(engine, numeric_apart=numeric_apart)
    totals, failures, future = ledger.totals(engine), ledger.failures(engine), ledger.in_the_future(engine)
    return Overview(
        server,
        bucket,
        folders,
        totals,
        people,
        identities,
        moves,
        spans,
        filters,
        indexes,
        erasures,
        until,
        kept_from,
        failures,
        future,
    )
