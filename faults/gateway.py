"""A proxy before S3 that answers with errors in place of S3."""

import http.client
import itertools
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

KEPT = ("Content-Type", "ETag", "Last-Modified", "Content-Range", "Accept-Ranges")
EITHER = frozenset({"GET", "HEAD"})


class Answer(NamedTuple):
    """An answer to a request, with a body that is truncated after a number of bytes."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: int | None = None


Act = Callable[[Callable[[], Answer]], Answer]
"""Given the way to get S3's own answer, it returns what to answer."""


def refusal(status: int, code: str) -> Act:
    """Return a refusal of S3."""
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return lambda _: Answer(status, {}, body)


class Gateway:
    """Forwards requests to S3. Once armed, it answers some of those for revisions itself."""

    def __init__(self, s3: str, port: int) -> None:
        self.s3 = urlsplit(s3)
        self.url = f"http://127.0.0.1:{port}"
        self.acted = 0
        self._lock = threading.Lock()
        self._turns: Iterator[Act | None] = iter(())
        self._methods: Collection[str] = EITHER
        self._key = ""

    def arm(self, act: Act, first: int, times: int, methods: Collection[str] = EITHER, key: str = "") -> None:
        """Answer ``times`` requests by ``act``, from number ``first`` on. With ``key``: only those for this object."""
        with self._lock:
            self._turns = itertools.chain(itertools.repeat(None, first - 1), itertools.repeat(act, times))
            self._methods, self._key = methods, key
            self.acted = 0

    def disarm(self) -> None:
        """Forward all requests."""
        with self._lock:
            self._turns = iter(())

    def answer(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        """Return the answer."""
        act = self._next_act(method) if "/revisions/" in path and path.endswith(self._key) else None
        if act is None:
            return self._forward(method, path, headers)
        return act(lambda: self._forward(method, path, headers))

    def _next_act(self, method: str) -> Act | None:
        with self._lock:
            act = next(self._turns, None) if method in self._methods else None
            self.acted += act is not None
            return act

    def _forward(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection(str(self.s3.hostname), self.s3.port, timeout=30)
        connection.request(method, path, headers=headers)
        got = connection.getresponse()
        body = got.read()
        kept = {name: value for name in KEPT if (value := got.headers[name])}
        kept["Content-Length"] = got.headers["Content-Length"] if method == "HEAD" else str(len(body))
        connection.close()
        return Answer(got.status, kept, body)


class _Handler(BaseHTTPRequestHandler):
    gateway: Gateway

    def do_GET(self) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        status, kept, body, cut = self.gateway.answer(self.command, self.path, headers)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **kept, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:cut])

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed."""


@contextmanager
def gateway_to(s3: str) -> Iterator[Gateway]:
    """Run a gateway before an S3."""

    class Handler(_Handler):
        pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        Handler.gateway = Gateway(s3, server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Handler.gateway
        server.shutdown()
