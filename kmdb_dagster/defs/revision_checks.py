"""The asset checks of a run's own revisions. Selected alone, they check all imported revisions."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

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
    "blank, rejected with a reason.",
)
AGREE = dg.AssetCheckSpec(
    "facts_agree_with_ledger",
    asset=EVENTS,
    description="`events` and `properties` hold as many rows of each revision of the run as the ledger says. Alone, it "
    "counts every row, a time partition at a time, and finds rows that the ledger does not know.",
)
SPECS = [ACCOUNTED, AGREE]


def results(
    engine: Engine, selected: Collection[dg.AssetCheckKey], revisions: Sequence[int] | None
) -> Iterator[dg.AssetCheckResult]:
    """Make the selected checks.

    Args:
        engine: of the warehouse.
        selected: the keys of the checks to make.
        revisions: to check; None for all that are imported.
    """
    checked = {"revisions": len(revisions) if revisions is not None else "all"}
    if ACCOUNTED.key in selected:
        lost = retry_transient(ledger.unbalanced)(engine, revisions)
        yield _result(
            ACCOUNTED, not lost, {**checked, "not_accounted_for": lost[:MAX_NAMED], **_repair(import_commands(lost))}
        )
    if AGREE.key in selected:
        if revisions is None:
            wrong = retry_transient(reconciliation.reconcile_all)(engine)
        else:
            wrong = retry_transient(reconciliation.reconcile)(engine, revisions)
        yield _result(AGREE, not wrong, {**checked, "wrong": _table(wrong), **_repair(reconciliation.repair(wrong))})


def _result(spec: dg.AssetCheckSpec, passed: bool, metadata: dict[str, Any]) -> dg.AssetCheckResult:  # noqa: FBT001 - its position is clear
    return dg.AssetCheckResult(check_name=spec.name, asset_key=spec.asset_key, passed=passed, metadata=metadata)


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
