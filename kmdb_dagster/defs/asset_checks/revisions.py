"""The asset checks of a run's own revisions. Selected alone, they check all imported revisions."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import dagster as dg
from sqlalchemy import Engine

from kmdb_dagster.dagster_ext.asset_keys import EVENTS
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.warehouse.ledger import ledger, reconciliation
from kmdb_dagster.warehouse.ledger.consistency import import_commands

MAX_NAMED = 100
"""A check's result has 64 KB in Dagster's history on MySQL."""

ACCOUNTED = dg.AssetCheckSpec(
    "lines_accounted_for",
    asset=EVENTS,
    description="Every line of each revision of the run ended in exactly one of: imported, ignored by a filter, "
    "blank, rejected with a reason. The check of the same name of `warehouse` adds up all revisions.",
)
AGREE = dg.AssetCheckSpec(
    "facts_agree_with_ledger",
    asset=EVENTS,
    description="`events` and `properties` hold as many rows of each revision of the run as the ledger says. The check "
    "of the same name of `warehouse` counts the rows of all revisions.",
)
SPECS = [ACCOUNTED, AGREE]


class Verdict(NamedTuple):
    """The outcome of a check, for any asset."""

    passed: bool
    metadata: dict[str, Any]


def results(
    engine: Engine, selected: Collection[dg.AssetCheckKey], revisions: Sequence[int] | None
) -> Iterator[dg.AssetCheckResult]:
    """Make the selected checks.

    Args:
        engine: of the warehouse.
        selected: the keys of the checks to make.
        revisions: to check; None for all that are imported.
    """
    for spec, check in ((ACCOUNTED, check_accounted), (AGREE, check_agreement)):
        if spec.key in selected:
            verdict = check(engine, revisions)
            yield dg.AssetCheckResult(check_name=spec.name, asset_key=spec.asset_key, **verdict._asdict())


def check_accounted(engine: Engine, revisions: Sequence[int] | None) -> Verdict:
    """Check that the lines of these revisions, or of all, add up."""
    lost = retry_transient(ledger.unbalanced)(engine, revisions)
    found = {"not_accounted_for": lost[:MAX_NAMED], **_repair(import_commands(lost))}
    return Verdict(not lost, _scope(revisions) | found)


def check_agreement(engine: Engine, revisions: Sequence[int] | None) -> Verdict:
    """Check that the tables hold what the ledger says of these revisions, or of all."""
    if revisions is None:
        wrong = retry_transient(reconciliation.reconcile_all)(engine)
    else:
        wrong = retry_transient(reconciliation.reconcile)(engine, revisions)
    found = {"wrong": _table(wrong), **_repair(reconciliation.repair(wrong))}
    return Verdict(not wrong, _scope(revisions) | found)


def _scope(revisions: Sequence[int] | None) -> dict[str, Any]:
    return {"revisions": "all" if revisions is None else len(revisions)}


def _repair(commands: str) -> dict[str, str]:
    return {"repair": commands} if commands else {}


def _table(wrong: Sequence[reconciliation.Mismatch]) -> dg.TableMetadataValue:
    columns = [f"{table}_{where}" for where in ("ledger", "tables") for table in reconciliation.Counts._fields]
    rows = [(found.revision, *found.ledger, *found.tables) for found in wrong[:MAX_NAMED]]
    names = ["revision", *columns]
    return dg.MetadataValue.table(
        [dg.TableRecord(dict(zip(names, row, strict=True))) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name, "int") for name in names]),
    )
