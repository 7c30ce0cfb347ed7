"""The text of `kmdb status`."""

from collections.abc import Iterator

from kmdb_dagster.km_export.layout import describe_ranges
from kmdb_dagster.warehouse.identity.rules import RULE_IS_PENDING
from kmdb_dagster.warehouse.ledger.status import Overview
from kmdb_dagster.warehouse.maintenance.filter_changes import FiltersInForce
from kmdb_dagster.warehouse.maintenance.indexes import INDEXES_ARE_MISSING
from kmdb_dagster.wording import counted, named_ranges


def status_lines(status: Overview) -> Iterator[tuple[str, str]]:
    """Yield (label, value) for each line of `kmdb status`."""
    totals = status.totals
    yield "server", status.server
    yield "bucket", status.bucket or "none yet: the first import binds it"
    yield "data folders", ", ".join(status.data_folders) or "none yet: the first import binds one"
    yield "revisions", f"{totals.revisions} imported, {totals.absent} absent, {totals.failed} failed"
    outcomes = ", ".join(
        f"{getattr(totals, outcome):,} {outcome}" for outcome in ("imported", "ignored", "blank", "rejected")
    )
    yield "lines", f"{totals.lines:,} = {outcomes}"
    yield "events", f"{totals.events:,}"
    yield "property values", f"{totals.properties:,}"
    yield "aliases", f"{totals.aliases:,}"
    yield "people", f"{status.people:,} with events or properties; {counted(status.identities, 'identity')} known"
    yield "from … to (UTC)", f"{totals.t_min} … {totals.t_max}" if totals.t_min else "nothing yet"
    yield "time partitions until", str(status.partitions_until or "none yet: run `kmdb partition`")
    if status.facts_from:
        yield "facts are kept from", f"{status.facts_from:%Y-%m-%d} on; older facts were dropped"
    if status.indexes_are_missing:
        yield "indexes", INDEXES_ARE_MISSING
    yield from filter_lines(status.filters)
    if status.pending_spans:
        yield "pending spans", f"{status.pending_spans:,}: the next import or `kmdb realias` searches them"
    if status.pending_moves:
        yield (
            "pending moves",
            f"{status.pending_moves:,} identities: the next import or `kmdb realias` moves facts",
        )
    if status.in_the_future:
        yield (
            "a clock was ahead",
            f"{status.in_the_future:,} revisions have a time of import or failure in the future; this does no harm",
        )
    if status.incomplete_erasures:
        yield "erasures to complete", f"{status.incomplete_erasures:,} identities: run `kmdb forget --finish`"


def filter_lines(found: FiltersInForce) -> Iterator[tuple[str, str]]:
    """Yield (label, value): how many names each filter has, and what was loaded with other ones."""
    yield "filters", ", ".join(f"{count:,} {str(names).replace('_', ' ')}" for names, count in found.counts.items())
    if found.other:
        yield (
            "other filters",
            f"{named_ranges(describe_ranges(found.other))}: loaded with other filters, run `kmdb filter apply`",
        )
    if found.is_rule_pending:
        yield "another rule", RULE_IS_PENDING
