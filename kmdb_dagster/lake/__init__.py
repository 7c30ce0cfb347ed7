"""The files on their way: raw copies of revisions, and the Parquet made of them.

Everything here is made from the bucket and can be made again. It is personal data all the same.
"""

from kmdb_dagster.erasure.redaction import Blotter
from kmdb_dagster.lake.files import Lake, RawFile
from kmdb_dagster.lake.parsed import ParsedFile, Tally, write_parsed

__all__ = ["Blotter", "Lake", "ParsedFile", "RawFile", "Tally", "write_parsed"]
