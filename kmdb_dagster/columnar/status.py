"""Whether the copy is current, and whether its files hold what the ledger says. Changes nothing."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine

from kmdb_dagster.columnar.manifest import Manifest, WarehouseState, read_manifest
from kmdb_dagster.columnar.refresh import is_usable
from kmdb_dagster.columnar.snapshot import NAMES, read_state
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.ledger.changed_days import ChangedDays, read_changed_days
from kmdb_dagster.warehouse.schema.tables import FACTS

REBUILD = "`kmdb columnar rebuild`"
REFRESH = "`kmdb columnar refresh`"


class CopyStatus(NamedTuple):
    """The copy, compared with the warehouse."""

    manifest: Manifest | None
    """None: there is no copy."""
    days_behind: int
    """Days whose facts changed since."""
    rows_behind: int | None
    """About how many rows a refresh writes. None: all of them, because the copy is of another state."""
    is_current: bool
    next_step: str | None
    """The command that makes the copy current."""


def read_status(engine: Engine, folder: Path) -> CopyStatus:
    """Compare the manifest with the warehouse."""
    manifest = read_manifest(folder)
    with transaction(engine) as connection:
        state, changes = read_state(connection), read_changed_days(connection)
        if manifest is None or not is_usable(connection, manifest, state):
            next_step = REBUILD if manifest else REFRESH
            return CopyStatus(manifest, len(changes.days), None, is_current=False, next_step=next_step)
    is_current = not changes.ids and _facts_of(manifest) == (state.map_version, state.facts_from)
    rows = 0 if is_current else _rows_to_write(manifest, state, changes)
    return CopyStatus(manifest, len(changes.days), rows, is_current, None if is_current else REFRESH)


def _rows_to_write(manifest: Manifest, state: WarehouseState, changes: ChangedDays) -> int:
    """Estimate from what the changed files have now, and from the facts that the ledger has more."""
    changed = sum(
        file.rows
        for file in manifest.files
        if (changes.is_any_name if file.table in NAMES else any(day in file.bounds for day in changes.days))
    )
    new = state.events + state.properties - manifest.state.events - manifest.state.properties
    return changed + max(0, new)


def _facts_of(manifest: Manifest) -> tuple[object, object]:
    return manifest.state.map_version, manifest.state.facts_from


class Comparison(NamedTuple):
    """The rows in the files, the rows that the ledger had in the same snapshot, and the files that cannot be read."""

    rows: dict[str, int]
    ledger: dict[str, int]
    unreadable: int

    @property
    def agrees(self) -> bool:
        """Whether the copy has all facts of the ledger."""
        return self.rows == self.ledger and not self.unreadable


def compare_with_ledger(folder: Path, manifest: Manifest) -> Comparison:
    """Count the rows in the files of the facts, from their footers."""
    rows: Counter[str] = Counter()
    unreadable = 0
    for file in manifest.files:
        if file.path:
            try:
                rows[file.table] += pq.read_metadata(folder / file.path).num_rows
            except (OSError, pa.ArrowException):
                unreadable += 1
    state = manifest.state
    ledger = {"events": state.events, "properties": state.properties}
    return Comparison({table: rows[table] for table in FACTS}, ledger, unreadable)
