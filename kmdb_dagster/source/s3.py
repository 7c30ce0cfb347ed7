"""A bucket on S3, or on anything that speaks its API.

boto3 retries throttling and refused connections by itself (the client is made with ``retries``); a body that
breaks off in the middle is our part: the read goes on at the byte where it stopped, pinned to the ETag.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError, SSLError

from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.source.bucket import ObjectChangedError, StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK = 1024 * 1024
MOST_BREAKS = 6
"""Breaks in a row, without one byte between them, after which a read gives up: about 16 seconds."""

NO_BUCKET = "there is no such bucket: see AWS_BUCKET and AWS_ENDPOINT_URL"
DENIED = "access denied: the credentials need s3:ListBucket on the bucket and s3:GetObject on its objects"
ELSEWHERE = "the bucket is in another region: see AWS_DEFAULT_REGION"

REMEDIES = {
    "NoSuchBucket": NO_BUCKET,
    "AccessDenied": DENIED,
    "403": DENIED,
    "InvalidAccessKeyId": "S3 does not know this AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID",
    "ExpiredToken": "the credentials have expired: get new ones",
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it",
    "PermanentRedirect": ELSEWHERE,
    "301": ELSEWHERE,
    "AuthorizationHeaderMalformed": ELSEWHERE,
    "InvalidObjectState": "it is in an archive (Glacier): restore it there first",
}
"""What a person can do, by S3's error code. The answer to a HEAD has no code but its status."""


class S3Bucket:
    """A `Bucket` on S3."""

    def __init__(self, client: "S3Client", name: str) -> None:
        self._client = client
        self._name = name
        self._seen = False

    @property
    def url(self) -> str:
        """``s3://`` and the bucket's name."""
        return f"s3://{self._name}"

    def objects(self) -> Iterator[StoredObject]:
        """All objects, a page of 1,000 a request."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name)
        with self._translated(""):
            for page in pages:
                for item in page.get("Contents", []):
                    yield StoredObject(item["Key"], item["ETag"].strip('"'), item["Size"])

    def find(self, key: str) -> StoredObject | None:
        """The object as it is now: one request."""
        try:
            with self._translated(key):
                head = self._client.head_object(Bucket=self._name, Key=key)
        except _NotFoundError:
            self._check_bucket()
            return None
        return StoredObject(key, head["ETag"].strip('"'), head["ContentLength"])

    def read(self, found: StoredObject) -> Iterator[bytes]:
        """The bytes of exactly this object; goes on where a connection broke."""
        done = breaks = 0
        while done < found.size:
            try:
                for chunk in self._chunks(found, done):
                    done += len(chunk)
                    breaks = 0
                    yield chunk
            except _NotFoundError:
                raise ObjectChangedError(f"{self.url}/{found.key}") from None
            except ObjectChangedError:
                raise
            except TransientError:
                breaks += 1
                if breaks == MOST_BREAKS:
                    raise
                time.sleep(2.0**breaks / 4)

    def _check_bucket(self) -> None:
        """S3 answers a HEAD alike for a missing object and a missing bucket, whose objects are not just absent."""
        if self._seen:
            return
        with self._translated(""):
            # Not a HEAD: this one is sure to need no more than s3:ListBucket, and says which of the two is missing.
            self._client.list_objects_v2(Bucket=self._name, MaxKeys=1)
        self._seen = True

    def _chunks(self, found: StoredObject, start: int) -> Iterator[bytes]:
        with self._translated(found.key):
            got = self._client.get_object(Bucket=self._name, Key=found.key, IfMatch=found.etag, Range=f"bytes={start}-")
            if got["ContentLength"] != found.size - start:
                raise ObjectChangedError(f"{self.url}/{found.key}")
            # botocore raises IncompleteReadError (a BotoCoreError) for a body shorter than its Content-Length.
            yield from got["Body"].iter_chunks(CHUNK)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Failures of S3 as our own: what a person must mend, or what passes."""
        place = f"{self.url}/{key}"
        try:
            yield
        except ClientError as error:
            raise _meaning(error, place) from error
        except NoCredentialsError:
            raise PermanentError(f"{place}: no credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.") from None
        except ParamValidationError:
            raise PermanentError(f"{place}: S3 allows no such name. See AWS_BUCKET.") from None
        except SSLError:
            raise PermanentError(
                f"{place}: the certificate is not to be trusted. AWS_CA_BUNDLE names a file of those to trust."
            ) from None
        except BotoCoreError as error:
            raise TransientError(
                f"{place}: the connection to S3 failed ({type(error).__name__}). If that lasts, look at the "
                "network and at AWS_ENDPOINT_URL."
            ) from error


class _NotFoundError(PermanentError):
    """There is no such object."""


def _meaning(error: ClientError, place: str) -> Exception:
    code = error.response.get("Error", {}).get("Code", "")
    if code in {"412", "PreconditionFailed", "416", "InvalidRange"}:
        return ObjectChangedError(place)
    if code in {"404", "NoSuchKey"}:
        return _NotFoundError(f"{place} is not there")
    if code in REMEDIES:
        return PermanentError(f"{place}: {REMEDIES[code]}")
    return TransientError(f"{place}: S3 answered {code}")
