"""Lakes for tests: revisions parsed as the pipeline does it, without a bucket or a database."""

from pathlib import Path
from unittest.mock import Mock

from kmdb_dagster.lake import Lake
from kmdb_dagster.pipeline import Figures, Pipeline, parse
from kmdb_dagster.source import Bucket
from kmdb_dagster.warehouse import Warehouse


def empty_lake(folder: Path) -> Lake:
    """Create a lake without revisions."""
    lake = Lake(folder)
    lake.prepare()
    return lake


def parse_into(lake: Lake, revision: int, content: bytes, *, most: float = 1.0) -> Figures:
    """Parse a revision; ``most`` is the rejection limit, a share from 0 to 1."""
    lake.store_raw(revision, "an-etag", [content])
    bucket, warehouse = Mock(spec=Bucket), Mock(spec=Warehouse)
    bucket.find.return_value = None
    warehouse.erased_digests.return_value = warehouse.last_erased_digests.return_value = frozenset()
    warehouse.engine = Mock()
    opened = Pipeline(
        bucket, lake, warehouse, batch_size=100, keep_files=False, max_rejected_share=most, numeric_apart=False
    )
    return parse(opened, revision)[0]
