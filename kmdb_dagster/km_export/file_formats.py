"""Detect the format of a revision's file from its first bytes, and decompress gzip."""

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

from kmdb_dagster.errors import PermanentError

GZIP = b"\x1f\x8b\x08"
CHUNK = 1024 * 1024
PUT_WHOLE_FILE = "Put the whole file into the bucket, then run import_outstanding."
HEAD_BYTES = 4096

MAGIC = {
    b"\xff\xfe": "UTF-16 text. Save it as UTF-8",
    b"\xfe\xff": "UTF-16 text. Save it as UTF-8",
    GZIP: "gzip within gzip",
    b"PK\x03\x04": "a ZIP archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
}

TEXT = {
    re.compile(rb"<(!doctype html|html|head|body)\b", re.IGNORECASE): "an HTML page, such as an error page of a proxy",
    re.compile(rb"<\?xml|<Error>"): "XML, such as an error of S3",
    re.compile(rb"\[\s*[\[{\]]"): "a JSON array. Write one object a line",
    re.compile(rb"\{\s*\n"): "JSON with one object over several lines. Write one object a line",
    re.compile(rb"version https://git-lfs"): "a pointer of Git LFS",
}


def decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a file, decompressed if it is gzip, at most CHUNK bytes at a time.

    Raises:
        PermanentError: The gzip data is truncated or damaged.
    """
    stream = iter(chunks)
    head = b""
    while len(head) < len(GZIP) and (chunk := next(stream, None)) is not None:
        head += chunk
    whole = chain([head], stream) if head else stream
    yield from _unzipped(whole) if head.startswith(GZIP) else whole


def name_of_other_format(head: bytes) -> str | None:
    """Name the format of a file with these first bytes. None: an export, or an unknown format."""
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            return name
    # UTF-16 without a BOM: every second byte of ASCII is NUL.
    if head[:64].count(0) >= len(head[:64]) // 3 > 0:
        return "UTF-16 text or binary data"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((name for pattern, name in TEXT.items() if pattern.match(text)), None)


def _unzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=io.BufferedReader(_Stream(chunks))) as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except EOFError:
        raise PermanentError(f"{PUT_WHOLE_FILE} The gzip file is cut off before its end.") from None
    except (gzip.BadGzipFile, zlib.error):
        raise PermanentError(f"{PUT_WHOLE_FILE} The gzip file is damaged.") from None


class _Stream(io.RawIOBase):
    """A readable file over chunks of bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # what BufferedReader gives
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
