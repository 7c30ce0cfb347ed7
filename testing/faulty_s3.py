"""A small S3 with one object and configurable failures, which moto does not have."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from typing import NamedTuple


class Cut(NamedTuple):
    """The body is truncated after a number of bytes."""

    after: int


class Refusal(NamedTuple):
    """An error response of S3."""

    status: int
    code: str


class Replaced(NamedTuple):
    """The object has other content from now on."""

    content: bytes


class Short(NamedTuple):
    """The response is complete, but not the requested range."""

    content: bytes


class Damaged(NamedTuple):
    """One bit of the body is flipped at or after this byte of the object, and the body may be truncated."""

    byte: int
    cut: int | None = None


Fault = Cut | Refusal | Replaced | Short | Damaged | None


@dataclass
class FaultyS3:
    """The object, the failures of the next requests, and the ranges that were requested."""

    content: bytes
    faults: Iterator[Fault] = field(default_factory=lambda: repeat(None))
    ranges: list[str | None] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    head: Refusal | None = None
    fixed_etag: str | None = None

    @property
    def etag(self) -> str:
        """The ETag of the current content."""
        return self.fixed_etag or f'"{hash(self.content):x}"'

    def damaged(self, byte: int) -> bytes:
        """Return the content with one bit flipped."""
        return self.content[:byte] + bytes([self.content[byte] ^ 1]) + self.content[byte + 1 :]


@contextmanager
def serving(faulty: FaultyS3) -> Iterator[str]:
    """Run the server on loopback, and yield its URL."""

    class Handler(_Handler):
        s3 = faulty

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect."""


class _Handler(BaseHTTPRequestHandler):
    s3: FaultyS3

    def do_HEAD(self) -> None:
        if self.s3.head:
            self._send(self.s3.head.status, b"", '""', body=False)
            return
        self._send(200, self.s3.content, self.s3.etag, body=False)

    def do_GET(self) -> None:
        self.s3.ranges.append(self.headers["Range"])
        match next(self.s3.faults, None):
            case Refusal(status, code):
                self._refuse(status, code)
            case Cut(after):
                self._object(after)
            case Short(content):
                self._send(206, content, self.s3.etag)
            case Damaged(byte, cut):
                self._object(cut, self.s3.damaged(byte))
            case Replaced(content):
                self.s3.content = content
                self._object(None)
            case None:
                self._object(None)

    def _object(self, cut: int | None, content: bytes | None = None) -> None:
        range_ = self.headers["Range"]
        start = int(range_.removeprefix("bytes=").removesuffix("-")) if range_ else 0
        if self.headers["If-Match"] not in {None, self.s3.etag, self.s3.etag.strip('"')}:
            self._refuse(412, "PreconditionFailed")
        else:
            sent = (self.s3.content if content is None else content)[start:]
            self._send(206 if range_ else 200, sent, self.s3.etag, cut=cut)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode(), '""')

    def _send(self, status: int, content: bytes, etag: str, *, body: bool = True, cut: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", etag)
        for name, value in self.s3.headers.items() if status < 300 else ():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        if body:
            self.wfile.write(content[:cut])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Do not log."""
