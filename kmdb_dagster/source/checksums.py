"""Verify the checksum of a whole S3 object, across all requests of a read.

boto3 verifies the body of one response, which is not the whole object after a broken connection. It also ignores the
ETag, which is an MD5 for objects that were uploaded in one part without KMS. KissMetrics wrote all objects like that.
"""

import base64
import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from kmdb_dagster.source.bucket import plain_etag


class Digest(Protocol):
    """The methods of hashlib's digests that are used here."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""

    def digest(self) -> bytes:
        """Return the digest of all bytes so far."""


class Crc32:
    """CRC32, as S3 writes it: big-endian."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        """Add bytes."""
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        """Return the checksum of all bytes so far."""
        return self._value.to_bytes(4, "big")


HEADERS: dict[str, Callable[[], Digest]] = {
    "x-amz-checksum-sha256": hashlib.sha256,
    "x-amz-checksum-sha1": hashlib.sha1,
    "x-amz-checksum-crc32": Crc32,
}
"""S3's other checksums (CRC32C, CRC64NVME) are verified by boto3 if awscrt is installed."""

MD5 = re.compile(r"[0-9a-f]{32}")


class Checksum:
    """Computes the checksum of an object's bytes, and compares it with the one that S3 sent."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self.name = "checksum"
        self._expected: tuple[Digest, bytes] | None = None

    def start(self, headers: Mapping[str, str]) -> None:
        """Start an object.

        Composite checksums (``…-3``) are made of the digests of an upload's parts. They cannot be computed from the
        body and are ignored. Without another checksum, the ETag is compared if it is an MD5.

        Args:
            headers: those of a response that begins at byte 0, with names in lower case.
        """
        self._expected = None
        etag = plain_etag(headers.get("etag", ""))
        for name, algorithm in HEADERS.items():
            value = headers.get(name, "-")
            if "-" not in value and headers.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT":
                self.name, self._expected = name, (algorithm(), base64.b64decode(value))
                return
        if MD5.fullmatch(etag) and self._etag_is_md5(headers):
            self.name, self._expected = "MD5 (its ETag)", (hashlib.md5(usedforsecurity=False), bytes.fromhex(etag))

    def update(self, chunk: bytes) -> None:
        """Add the next bytes of the object."""
        if self._expected:
            self._expected[0].update(chunk)

    def matches(self) -> bool:
        """Return whether all bytes together match the checksum. True if S3 sent none that can be compared."""
        return self._expected is None or self._expected[0].digest() == self._expected[1]

    def _etag_is_md5(self, headers: Mapping[str, str]) -> bool:
        # Source: "Object" in the S3 API reference. Directory buckets (`…--x-s3`) have random ETags.
        with_kms = headers.get("x-amz-server-side-encryption", "").startswith("aws:")
        with_own_key = "x-amz-server-side-encryption-customer-algorithm" in headers
        return not (with_kms or with_own_key or self._bucket.endswith("--x-s3"))
