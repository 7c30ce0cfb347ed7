"""An installation whose people tests erase: a bucket, a lake and a warehouse."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from kmdb_dagster.digest import digest
from kmdb_dagster.erasure.erase import ErasureCounts, erase_people
from kmdb_dagster.erasure.requests import request_erasure
from kmdb_dagster.lake import Lake
from kmdb_dagster.pipeline import Pipeline
from kmdb_dagster.source import FolderBucket
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from testing.buckets import FolderOfRevisions, T, alias, event, line, property_set
from testing.revisions import content, misplaced, one
from testing.steps import fetch, load, parse, resolve


class Erase(NamedTuple):
    """Erases the people that were requested."""

    lake: Path

    def __call__(self, warehouse: Warehouse) -> ErasureCounts:
        """Run it."""
        return erase_people(warehouse, Lake(self.lake), numeric_apart=False, most_identities=1000)


class Import(NamedTuple):
    """Imports revisions, from the bucket into the tables."""

    bucket: Path
    lake: Path
    revisions: Sequence[int]
    apart: bool = False

    def __call__(self, warehouse: Warehouse) -> None:
        """Run it."""
        lake = Lake(self.lake)
        lake.prepare()
        pipeline = Pipeline(
            FolderBucket(self.bucket),
            lake,
            warehouse,
            batch_size=3,
            keep_files=True,
            max_rejected_share=1,
            numeric_apart=self.apart,
        )
        for step in (fetch, parse, resolve, load):
            for revision in self.revisions:
                step(pipeline, revision)


class Site:
    """A bucket, a lake and a warehouse."""

    def __init__(self, warehouse: Warehouse, folder: Path, revisions: Sequence[Sequence[bytes]]) -> None:
        self.warehouse = warehouse
        self.lake = folder / "lake"
        self.bucket = FolderOfRevisions(folder / "bucket")
        self.revisions = list(range(1, len(revisions) + 1))
        for revision, lines in enumerate(revisions, start=1):
            # The ETag of a file in a folder depends on its time.
            os.utime(self.bucket.put(revision, *lines), (T, T))

    def import_revisions(self, *revisions: int, apart: bool = False) -> None:
        """Import revisions."""
        self.importer(revisions, apart=apart)(self.warehouse)

    def importer(self, revisions: Sequence[int] = (), *, apart: bool = False) -> Import:
        """Return the import of these revisions, by default of all."""
        return Import(self.bucket.folder, self.lake, revisions or self.revisions, apart)

    def erase(self, *names: str) -> ErasureCounts:
        """Erase people, and those of earlier requests."""
        request_erasure(self.warehouse.engine, [digest(name) for name in names])
        return Erase(self.lake)(self.warehouse)

    def content(self) -> dict[str, Any]:
        """Check the ledger and the map, and return the content of tables and Parquet."""
        engine = self.warehouse.engine
        assert ledger.unbalanced(engine) == []
        assert misplaced(engine) == 0
        of_facts = "SELECT id >> 40 AS revision, COUNT(*) AS found FROM {} GROUP BY 1"
        for table, column in (("events", "events"), ("properties", "properties"), ("aliases", "aliases")):
            counted = of_facts.format(table)
            wrong = (
                f"SELECT COUNT(*) FROM revisions r LEFT JOIN ({counted}) f ON f.revision = r.revision "  # noqa: S608
                f"WHERE r.{column} <> COALESCE(f.found, 0)"
            )
            assert one(engine, wrong) == 0
        return {**content(engine), "lake": lake_rows(self.lake)}


def lake_rows(lake: Path) -> list[Any]:
    return [
        pq.read_table(path).drop_columns(["revision"]).to_pylist() for path in sorted(lake.glob("parsed/*.parquet"))
    ]


def bytes_below(folder: Path) -> bytes:
    """Read all files, and the Parquet as text too."""
    raw = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return raw + repr(lake_rows(folder)).encode()


REVISIONS = (
    # bob, x1 and x2 are one person; anna and carl are others.
    [event("came", "bob", T - 5, plan="pro"), event("came", "anna", plan="pro"), alias("bob", "x1"), b"\n"],
    [property_set("x1", T + 9, sex="m"), alias("x1", "x2"), b'{"_p":"bob"}\n', b"no json, x2\n", b"no json\n"],
    [event("went", "x2"), line({"_n": "came", "_p": "anna", "_p2": "carl", "_t": T}), event("came", "carl")],
)
