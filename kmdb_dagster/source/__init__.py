"""Read the files of an export: an S3 bucket, or a folder of the same shape, behind one interface (`Bucket`).

The names and the content of the files are in `km_export`. `s3` reads a bucket on S3; boto3 is imported there.
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

__all__ = [
    "Bucket",
    "BucketUnusableError",
    "FolderBucket",
    "ObjectDamagedError",
    "ObjectUnreadableError",
    "StoredObject",
    "plain_etag",
]
