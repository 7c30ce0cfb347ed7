"""How things stand, for a person: the ledger in one line, the people, the time partitions, what waits."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Engine, text

from kmdb_dagster.warehouse.connection.bindings import bucket_of, known_folders
from kmdb_dagster.warehouse.connection.server import server_of, transaction
from kmdb_dagster.warehouse.identity.erasure_list import count_pending_erasures
from kmdb_dagster.warehouse.identity.rules import RULE_IS_PENDING, is_rule_pending
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.maintenance.indexes import INDEXES_ARE_MISSING, missing
from kmdb_dagster.warehouse.maintenance.retention import facts_from
from kmdb_dagster.warehouse.maintenance.time_partitions import covered_until, read_partitions


class Overview(NamedTuple):
    """All that `kmdb status` says."""

    server: str
    bucket: str | None
    data_folders: list[str]
    totals: ledger.Totals
    people: int
    identities: int
    waiting_moves: int
    waiting_spans: int
    waiting_rule: bool
    waiting_indexes: bool
    being_forgotten: int
    partitions_until: date | None
    facts_from: datetime | None
    failures: list[tuple[int, str]]
    in_the_future: int

    def as_dict(self) -> dict[str, object]:
        """For a program."""
        return {**self._asdict(), "totals": self.totals._asdict()}

    def as_lines(self) -> Iterator[tuple[str, str]]:
        """For a person: a name and a value each."""
        of = self.totals
        yield "server", self.server
        yield "bucket", self.bucket or "none yet: the first import binds it"
        yield "data folders", ", ".join(self.data_folders) or "none yet: the first import binds one"
        yield "revisions", f"{of.revisions} in, {of.absent} that KissMetrics never wrote, {of.failed} failed"
        fates = f"{of.imported:,} imported, {of.ignored:,} ignored, {of.blank:,} blank, {of.rejected:,} rejected"
        yield "lines", f"{of.lines:,} = {fates}"
        yield "events", f"{of.events:,}"
        yield "property values", f"{of.properties:,}"
        yield "aliases", f"{of.aliases:,}"
        yield "people", f"{self.people:,} of {self.identities:,} identities"
        yield "from … to (UTC)", f"{of.t_min} … {of.t_max}" if of.t_min else "nothing yet"
        yield "time partitions until", str(self.partitions_until or "none yet: run `kmdb partition`")
        if self.facts_from:
            yield "facts are kept from", f"{self.facts_from:%Y-%m-%d} on; older ones were dropped"
        if self.waiting_indexes:
            yield "indexes", INDEXES_ARE_MISSING
        if self.waiting_rule:
            yield "another rule", RULE_IS_PENDING
        if self.waiting_spans:
            yield (
                "facts to be looked at",
                f"in {self.waiting_spans:,} spans of time; the next import or `kmdb realias` does it",
            )
        if self.waiting_moves:
            yield (
                "facts to be moved",
                f"of {self.waiting_moves:,} identities; the next import or `kmdb realias` does it",
            )
        if self.in_the_future:
            yield (
                "a clock was ahead",
                f"{self.in_the_future:,} revisions came in or failed at a time in the future; it does no harm",
            )
        if self.being_forgotten:
            yield "to be forgotten", f"{self.being_forgotten:,} identities: run `kmdb forget --finish`"


def read(engine: Engine, *, numeric_apart: bool) -> Overview:
    """Look."""
    with transaction(engine) as connection:
        server = str(server_of(connection))
        until, kept_from = covered_until(read_partitions(connection)), facts_from(connection)
        people, identities = connection.execute(text("SELECT COUNT(DISTINCT user_id), COUNT(*) FROM user_map")).one()
        moves, spans = connection.execute(
            text("SELECT (SELECT COUNT(*) FROM pending_moves), (SELECT COUNT(*) FROM pending_spans)")
        ).one()
        bucket, folders = bucket_of(connection), [str(folder) for folder in known_folders(connection)]
        forgetting, indexes = count_pending_erasures(connection), bool(missing(connection))
    rule = is_rule_pending(engine, numeric_apart=numeric_apart)
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
        rule,
        indexes,
        forgetting,
        until,
        kept_from,
        failures,
        future,
    )
