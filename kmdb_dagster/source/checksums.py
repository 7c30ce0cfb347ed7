"""The checksum of a whole object, over all the requests that a read needed.

boto3 verifies the body of one answer, which is no whole object if a connection broke. And it knows nothing of the
ETag, which is an MD5 for objects that were uploaded in one part without KMS: all that KissMetrics wrote.
"""

import base64
import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from kmdb_dagster.source.bucket import plain_etag


class Digest(Protocol):
    """What hashlib's digests have."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def digest(self) -> bytes:
        """The digest of all bytes so far."""


class Crc32:
    """CRC32, as S3 writes it: big-endian."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        """The checksum of all bytes so far."""
        return self._value.to_bytes(4, "big")


HEADERS: dict[str, Callable[[], Digest]] = {
    "x-amz-checksum-sha256": hashlib.sha256,
    "x-amz-checksum-sha1": hashlib.sha1,
    "x-amz-checksum-crc32": Crc32,
}
"""The others (CRC32C, CRC64NVME) are verified by boto3 if awscrt is installed."""

MD5 = re.compile(r"[0-9a-f]{32}")


class Checksum:
    """The bytes of an object as they arrive, and what S3 promised of them."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self.name = "checksum"
        self._promise: tuple[Digest, bytes] | None = None

    def start(self, headers: Mapping[str, str]) -> None:
        """Begin an object with the headers (in lower case) of an answer from byte 0 on.

        Composite checksums (``…-3``), of the digests of an upload's parts, cannot be computed from the body and are
        ignored. If no other is there, the ETag is compared, where it is an MD5.
        """
        self._promise = None
        etag = plain_etag(headers.get("etag", ""))
        for name, algorithm in HEADERS.items():
            value = headers.get(name, "-")
            if "-" not in value and headers.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT":
                self.name, self._promise = name, (algorithm(), base64.b64decode(value))
                return
        if MD5.fullmatch(etag) and self._etag_is_md5(headers):
            self.name, self._promise = "MD5 (its ETag)", (hashlib.md5(usedforsecurity=False), bytes.fromhex(etag))

    def update(self, chunk: bytes) -> None:
        """Take the next bytes of the object."""
        if self._promise:
            self._promise[0].update(chunk)

    def matches(self) -> bool:
        """Whether all bytes together are those of the object. True if nothing was promised."""
        return self._promise is None or self._promise[0].digest() == self._promise[1]

    def _etag_is_md5(self, headers: Mapping[str, str]) -> bool:
        """Source: "Object" in the S3 API reference. Directory buckets (``…--x-s3``) have random ETags."""
        with_kms = headers.get("x-amz-server-side-encryption", "").startswith("aws:")
        with_own_key = "x-amz-server-side-encryption-customer-algorithm" in headers
        return not (with_kms or with_own_key or self._bucket.endswith("--x-s3"))
