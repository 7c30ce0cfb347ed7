"""The text of `kmdb status`."""

from collections.abc import Iterator

from kmdb_dagster.warehouse.identity.rules import RULE_IS_PENDING
from kmdb_dagster.warehouse.ledger.status import Overview
from kmdb_dagster.warehouse.maintenance.indexes import INDEXES_ARE_MISSING


def status_lines(status: Overview) -> Iterator[tuple[str, str]]:
    """Yield (label, value) for each line of `kmdb status`."""
    totals = status.totals
    yield "server", status.server
    yield "bucket", status.bucket or "none yet: the first import binds it"
    yield "data folders", ", ".join(status.data_folders) or "none yet: the first import binds one"
    yield "revisions", f"{totals.revisions} in, {totals.absent} that KissMetrics never wrote, {totals.failed} failed"
    outcomes = ", ".join(
        f"{getattr(totals, outcome):,} {outcome}" for outcome in ("imported", "ignored", "blank", "rejected")
    )
    yield "lines", f"{totals.lines:,} = {outcomes}"
    yield "events", f"{totals.events:,}"
    yield "property values", f"{totals.properties:,}"
    yield "aliases", f"{totals.aliases:,}"
    yield "people", f"{status.people:,} of {status.identities:,} identities"
    yield "from … to (UTC)", f"{totals.t_min} … {totals.t_max}" if totals.t_min else "nothing yet"
    yield "time partitions until", str(status.partitions_until or "none yet: run `kmdb partition`")
    if status.facts_from:
        yield "facts are kept from", f"{status.facts_from:%Y-%m-%d} on; older ones were dropped"
    if status.waiting_indexes:
        yield "indexes", INDEXES_ARE_MISSING
    if status.waiting_rule:
        yield "another rule", RULE_IS_PENDING
    if status.waiting_spans:
        yield (
            "facts to be looked at",
            f"in {status.waiting_spans:,} spans of time; the next import or `kmdb realias` does it",
        )
    if status.waiting_moves:
        yield (
            "facts to be moved",
            f"of {status.waiting_moves:,} identities; the next import or `kmdb realias` does it",
        )
    if status.in_the_future:
        yield (
            "a clock was ahead",
            f"{status.in_the_future:,} revisions came in or failed at a time in the future; it does no harm",
        )
    if status.being_forgotten:
        yield "to be forgotten", f"{status.being_forgotten:,} identities: run `kmdb forget --finish`"
