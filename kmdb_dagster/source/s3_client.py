"""The client of boto3 that reads an export's bucket: its retries and timeouts."""

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from kmdb_dagster.source.s3 import S3Bucket
from kmdb_dagster.source.s3_errors import translate_s3_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

S3 = Config(retries={"total_max_attempts": 9}, connect_timeout=5, read_timeout=10)
"""How a request to S3 is tried again: boto3 waits longer each time, 13 seconds in all at the most. A host that never
answers is given up after two minutes, where boto3 by itself would take ten."""


def open_s3(  # noqa: PLR0913 - what names a bucket, and who reads it
    name: str,
    prefix: str,
    *,
    region_name: str,
    endpoint_url: str | None,
    access_key_id: str | None,
    secret_access_key: str | None,
    session_token: str | None,
) -> S3Bucket:
    """Open a bucket. Without keys, boto3 looks for credentials in the environment, its files and the role.

    Raises:
        TransientError: the credentials of a role cannot be fetched now.
    """
    # boto3 fetches the credentials of a role here.
    with translate_s3_errors(f"s3://{name}"):
        client: S3Client = boto3.client(
            "s3",
            region_name=region_name,
            endpoint_url=endpoint_url,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            aws_session_token=session_token,
            config=S3,
        )
    return S3Bucket(client, name, prefix)
