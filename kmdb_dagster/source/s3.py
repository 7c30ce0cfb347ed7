"""A bucket on S3, or on another service with the same API.

boto3 retries throttling and refused connections (the client has ``retries``). A body that breaks off is resumed here:
the next request starts at the missing byte, pinned to the ETag. At the end all bytes are compared with the checksum.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError, FlexibleChecksumError
from botocore.response import StreamingBody

from kmdb_dagster.errors import TransientError
from kmdb_dagster.source.bucket import ObjectChangedError, ObjectDamagedError, StoredObject, plain_etag
from kmdb_dagster.source.checksums import Checksum
from kmdb_dagster.source.s3_errors import NotFoundError, code_of, translate_s3_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef

CHUNK = 1024 * 1024
MAX_BREAKS = 6
"""Broken connections in a row, without one byte between them, before a read fails: about 16 seconds."""

CODES_OF_HEAD = {"400", "401", "403", "405"}
"""HTTP statuses of a HEAD response that stand for several error codes."""


AMAZON_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn")


class S3Bucket:
    """A `Bucket` on S3, or the part of one below a prefix."""

    def __init__(self, client: "S3Client", name: str, prefix: str = "") -> None:
        self._client = client
        self._name = name
        self._prefix = prefix
        self._exists = False
        self._has_weak_etags = False

    @property
    def url(self) -> str:
        """``s3://``, the bucket's name and the prefix."""
        return f"s3://{self._name}/{self._prefix}".rstrip("/")

    @property
    def location(self) -> str:
        """The URL, with the endpoint if that is not Amazon's. Bucket names are unique only within one S3 service."""
        endpoint = self._client.meta.endpoint_url.rstrip("/")
        host = urlsplit(endpoint).hostname or ""
        return self.url if host.endswith(AMAZON_DOMAINS) else f"{self.url} at {endpoint}"

    def objects(self, below: str = "") -> Iterator[StoredObject]:
        """Yield all objects whose keys begin with ``below``: one request for each 1,000."""
        under = self._prefix + below
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=under)
        with translate_s3_errors(self.url):
            for page in pages:
                for item in page.get("Contents", []):
                    yield self._stored(item["Key"].removeprefix(self._prefix), item["ETag"], item["Size"])

    def find(self, key: str) -> StoredObject | None:
        """Return the object as it is now: one request. None: there is no such object."""
        try:
            with translate_s3_errors(self.url, key):
                head = self._head(key)
                return self._stored(key, head["ETag"], head["ContentLength"])
        except NotFoundError:
            self._check_bucket()
            return None

    def read(self, found: StoredObject) -> Iterator[bytes]:
        """Yield the bytes of exactly this object. A broken connection is resumed at the missing byte."""
        done = breaks = 0
        checksum = Checksum(self._name)
        while done < found.size:
            try:
                for chunk in self._chunks(found, done, checksum):
                    done += len(chunk)
                    breaks = 0
                    yield chunk
            except (ObjectChangedError, ObjectDamagedError):
                raise
            except TransientError:
                breaks += 1
                if breaks == MAX_BREAKS:
                    raise
                time.sleep(2.0**breaks / 4)
        if not checksum.matches():
            raise ObjectDamagedError(f"{self.url}/{found.key}", checksum.name)

    def _head(self, key: str) -> "HeadObjectOutputTypeDef | GetObjectOutputTypeDef":
        """Request an object without its bytes. A HEAD response has no error code, so an error is repeated as GET."""
        try:
            return self._client.head_object(Bucket=self._name, Key=self._prefix + key)
        except ClientError as error:
            if code_of(error) not in CODES_OF_HEAD:
                raise
        got = self._client.get_object(Bucket=self._name, Key=self._prefix + key)
        got["Body"].close()
        return got

    def _check_bucket(self) -> None:
        """Raise if the bucket is missing. A HEAD response is the same for a missing object and bucket."""
        if self._exists:
            return
        with translate_s3_errors(self.url):
            # A listing needs only s3:ListBucket, and its error names what is missing.
            self._client.list_objects_v2(Bucket=self._name, MaxKeys=1)
        self._exists = True

    def _chunks(self, found: StoredObject, start: int, checksum: Checksum) -> Iterator[bytes]:
        """Yield the bytes from ``start`` on."""
        place = f"{self.url}/{found.key}"
        try:
            with translate_s3_errors(self.url, found.key):
                key = self._prefix + found.key
                got = self._client.get_object(Bucket=self._name, Key=key, **self._pinned(found, start))
                if got["ContentLength"] != found.size - start or plain_etag(got["ETag"]) != found.etag:
                    raise ObjectChangedError(place)
                if start == 0:
                    checksum.start(got["ResponseMetadata"]["HTTPHeaders"])
                for chunk in _verified(got["Body"], place, is_whole=start == 0):
                    checksum.update(chunk)
                    yield chunk
        except NotFoundError:
            raise ObjectChangedError(place) from None

    def _pinned(self, found: StoredObject, start: int) -> dict[str, Any]:
        # Without Range, S3 sends the checksum of the whole object. If-Match never matches a weak ETag (RFC 9110).
        range_ = {"Range": f"bytes={start}-"} if start else {}
        return range_ if self._has_weak_etags else {**range_, "IfMatch": found.etag}

    def _stored(self, key: str, etag: str, size: int) -> StoredObject:
        self._has_weak_etags |= etag.startswith("W/")
        return StoredObject(key, plain_etag(etag), size)


def _verified(body: StreamingBody, place: str, *, is_whole: bool) -> Iterator[bytes]:
    """Yield a body. boto3 raises at its end if it differs from the checksum, which may be of the whole object."""
    try:
        # botocore raises IncompleteReadError (a BotoCoreError) for a body shorter than its Content-Length.
        yield from body.iter_chunks(CHUNK)
    except FlexibleChecksumError:
        if is_whole:
            raise ObjectDamagedError(place, "checksum") from None
