"""The files on their way: raw copies of revisions, and the Parquet made of them.

Everything here is made from the bucket and can be made again. It is personal data all the same.
"""

from kmdb_dagster.lake.files import Lake, RawFile
from kmdb_dagster.lake.parsed import LineCounts, ParsedFile, write_parsed

__all__ = ["Lake", "LineCounts", "ParsedFile", "RawFile", "write_parsed"]
