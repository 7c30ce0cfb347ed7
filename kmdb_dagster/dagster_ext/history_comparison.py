"""Compare the ledger with Dagster's history, and record in the history what it lacks.

A run that is killed between the commit of a revision and its materialization event leaves a difference. So does
a DAGSTER_HOME that is lost, or restored from a backup.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import dagster as dg

from kmdb_dagster.dagster_ext.asset_keys import PROPERTIES, REVISION_ASSETS
from kmdb_dagster.dagster_ext.cursors import LedgerCursor
from kmdb_dagster.dagster_ext.run_ranges import active_imports
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger

RECORDED_RANGES = "recorded"
"""The output metadata in which a run of `record_loaded` names the ranges that it recorded."""

DESCRIPTION = "Recorded from the ledger: the revision was imported, and Dagster's history lacked it."

MAX_LOOKED_UP = 1000
"""Revisions that are looked up one by one. For more, it is faster to read all partitions."""


class Comparison(NamedTuple):
    """A comparison of the ledger with Dagster's history."""

    unrecorded: list[int]
    """The imported revisions that the history lacks, ascending, except those of active runs."""
    under_way: set[int]
    """The revisions of active runs."""


def compare(
    instance: dg.DagsterInstance,
    warehouse: Warehouse,
    min_revision: int | None,
    before: LedgerCursor | None = None,
) -> Comparison:
    """Compare the ledger with Dagster's history.

    It takes a second at 100,000 revisions, and milliseconds since a comparison a minute ago.

    Args:
        instance: Dagster's instance.
        warehouse: has the ledger.
        min_revision: ignore revisions below this one; None for none.
        before: compare only what changed since this earlier comparison; None for the whole ledger.
    """
    under_way = active_imports(instance).revisions
    imported = set(ledger.imported_since(warehouse.engine, before.latest if before else None))
    if before:
        then = (number for first, last in before.under_way for number in range(first, last + 1))
        imported.update(number for number, _ in ledger.counts(warehouse.engine, list(then)))
    compared = {number for number in imported - under_way if number >= (min_revision or 1)}
    recorded = _recorded(instance, compared)
    return Comparison(sorted(number for number in compared if str(number) not in recorded), under_way)


def materializations(
    instance: dg.DagsterInstance, warehouse: Warehouse, revisions: list[int]
) -> Iterator[dg.AssetMaterialization]:
    """Make the events that the history lacks, one for each asset of each revision, from the ledger's counts.

    Args:
        instance: Dagster's instance.
        warehouse: its ledger has the counts.
        revisions: the revisions to compare.
    """
    recorded = {key: instance.get_materialized_partitions(key) for key in REVISION_ASSETS}
    for revision, counts in ledger.counts(warehouse.engine, revisions):
        yield from _materializations(revision, counts, recorded)


def _materializations(
    revision: int, counts: Mapping[str, int], recorded: Mapping[dg.AssetKey, Collection[str]]
) -> Iterator[dg.AssetMaterialization]:
    for key in REVISION_ASSETS:
        if str(revision) not in recorded[key]:
            yield dg.AssetMaterialization(
                key,
                description=DESCRIPTION,
                partition=str(revision),
                metadata={
                    **counts,
                    "dagster/partition_row_count": counts.get(key.to_user_string(), counts["lines"]),
                    "recorded_from": "ledger",
                },
            )


def _recorded(instance: dg.DagsterInstance, revisions: Collection[int]) -> Collection[str]:
    """Find the partitions that the history has of the asset recorded last: of these revisions at least."""
    if len(revisions) > MAX_LOOKED_UP:
        return instance.get_materialized_partitions(PROPERTIES)
    if not revisions:
        return ()
    return instance.get_latest_storage_id_by_partition(
        PROPERTIES, dg.DagsterEventType.ASSET_MATERIALIZATION, set(map(str, revisions))
    )
