"""A warehouse with weekly time partitions, and its columnar copy."""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kmdb_dagster.columnar.manifest import Manifest, read_manifest
from kmdb_dagster.columnar.refresh import Refreshed, refresh
from kmdb_dagster.columnar.status import CopyStatus, read_status
from kmdb_dagster.lake import Lake
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all
from testing.buckets import T, alias, event, property_set
from testing.revisions import Revisions, rows

SELECTS = {
    "events": "SELECT id, t, n, identity_id FROM events ORDER BY id",
    "properties": "SELECT id, t, `key`, value, event_id, identity_id FROM properties ORDER BY id",
    "keys": "SELECT id, string FROM `keys` ORDER BY id",
    "user_map": "SELECT identity_id, user_id FROM user_map ORDER BY identity_id",
    "users": "SELECT id, name FROM users ORDER BY id",
}
WEEK = 7 * 86_400
LINES = (
    event("came", "bob", T, plan="pro", city="Łódź"),
    event("went", "anna", T + WEEK),
    event("came", "anna", T + 2 * WEEK, plan=""),
    property_set("bob", T + 1, sex="m"),
    alias("bob", "b2"),
)
"""The lines of a revision, in three weeks."""


class Copy:
    """The copy, and the warehouse that it is of."""

    def __init__(self, warehouse: Warehouse, folder: Path) -> None:
        self.warehouse = warehouse
        self.engine = warehouse.engine
        self.lake = Lake(folder / "lake")
        self.folder = folder / "lake" / "columnar"
        self.revisions = Revisions(warehouse, folder)

    def partition(self, until: date = date(2014, 6, 1)) -> None:
        """Add weekly time partitions."""
        plans = plan_all(self.engine, min_date=date(2014, 4, 1), max_date=until, days=7, today=date(2014, 4, 1))
        apply_plans(self.engine, plans)

    def refresh(self, **options: Any) -> Refreshed:
        """Bring the copy up to date."""
        return refresh(self.engine, self.lake, self.folder, **options)

    def status(self) -> CopyStatus:
        """Compare the copy with the warehouse."""
        return read_status(self.engine, self.folder)

    @property
    def manifest(self) -> Manifest:
        """The published manifest."""
        found = read_manifest(self.folder)
        assert found is not None
        return found

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """Return the rows of a table in the copy, in the order of the table in the warehouse."""
        parts = [pq.read_table(self.folder / path) for path in self.manifest.paths(table)]
        if not parts:
            return []
        found = pa.concat_tables(parts)
        return sorted(zip(*(column.to_pylist() for column in found.columns), strict=True))

    def files(self) -> set[str]:
        """Return the Parquet files in the folder, of any manifest or none."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*.parquet")}

    def assert_complete(self) -> None:
        """Compare all tables of the copy with those of the warehouse."""
        for table, select in SELECTS.items():
            assert self.rows(table) == rows(self.engine, select), table
        assert self.status().is_current
