"""The S3 resource of dagster-aws, with retries and timeouts. Its import costs 0.3 s, so import it where it is used."""

from typing import Any

import boto3
from botocore.config import Config
from dagster_aws.s3 import S3Resource

S3 = Config(retries={"total_max_attempts": 9}, connect_timeout=5, read_timeout=10)
"""How a request to S3 is retried. boto3 waits longer each time, 13 seconds together at most. A host that never answers
is given up after two minutes; by itself, boto3 would take ten."""


class S3WithTimeouts(S3Resource):
    """The S3 resource of dagster-aws with timeouts, for which it has no settings."""

    def get_client(self) -> Any:  # noqa: ANN401 - the type of dagster-aws
        """Make a client of boto3. It looks for missing credentials in the environment, in its files and in the role."""
        return boto3.client(
            "s3",
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            aws_session_token=self.aws_session_token,
            config=S3,
        )
