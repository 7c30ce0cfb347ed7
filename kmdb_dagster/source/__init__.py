"""Where the export's files are: an S3 bucket, or a folder of the same shape, behind one small interface.

What the files are called and what stands in them is not known here: see ``export``.
"""

from kmdb_dagster.source.bucket import (
    Bucket,
    BucketUnusableError,
    ObjectDamagedError,
    ObjectUnreadableError,
    StoredObject,
    plain_etag,
)
from kmdb_dagster.source.folder import FolderBucket
from kmdb_dagster.source.s3 import S3Bucket

__all__ = [
    "Bucket",
    "BucketUnusableError",
    "FolderBucket",
    "ObjectDamagedError",
    "ObjectUnreadableError",
    "S3Bucket",
    "StoredObject",
    "plain_etag",
]
