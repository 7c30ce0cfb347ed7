"""Receivers of alerts: an HTTP server and an SMTP server on the loopback."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string, policy
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Hook(HTTPServer):
    """Keeps the posted alerts, and refuses as many as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Posted)
        self.taken: list[dict[str, Any]] = []
        self.asked = 0
        self.refusals = 0

    @property
    def url(self) -> str:
        """The URL for Apprise, with a secret."""
        return f"json://user:hushhush@127.0.0.1:{self.server_port}/hook"


class _Posted(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        refused = self.server.asked <= self.server.refusals
        if not refused:
            self.server.taken.append(json.loads(body))
        self.send_response(HTTPStatus.SERVICE_UNAVAILABLE if refused else HTTPStatus.OK)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has there
        """Say nothing."""


class Mailbox(socketserver.TCPServer):
    """Accepts every mail: as much of SMTP as a client needs."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Delivery)
        self.mails: list[Any] = []

    @property
    def url(self) -> str:
        """The URL for Apprise."""
        return f"mailto://127.0.0.1:{self.server_address[1]}?from=kmdb@example.com&to=ops@example.com&mode=insecure"


class _Delivery(socketserver.StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while command := self.rfile.readline().decode().strip().upper():
            if command == "DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
                self.server.mails.append(message_from_string("".join(lines), policy=policy.default))
            self.wfile.write(b"221 bye\r\n" if command == "QUIT" else b"250 yes\r\n")


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[None]:
    """Run a server in a thread for the duration of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
