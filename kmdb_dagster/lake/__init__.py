"""The lake: raw copies of revisions and their Parquet, below KMDB_DATA_DIR. Redaction is an argument.

All files can be rebuilt from the bucket. They are personal data.
"""

from kmdb_dagster.lake.files import Lake, RawFile
from kmdb_dagster.lake.parsed import LineCounts, write_parsed
from kmdb_dagster.lake.parsed_batches import ParsedFile, ParsedInMemory, ParsedRevision

__all__ = ["Lake", "LineCounts", "ParsedFile", "ParsedInMemory", "ParsedRevision", "RawFile", "write_parsed"]
