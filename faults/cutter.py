"""A proxy before the database that cuts a connection in the middle of LOAD DATA."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

MARK = b"LOAD DATA LOCAL"
CHUNK = 1024
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: a socket that is closed sends a reset."""


class Cutter:
    """Forwards bytes to a port of loopback. Once armed, it cuts the n-th LOAD DATA."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._statements = self._after = 0
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, statements: int, after: int) -> None:
        """Cut once: in the LOAD DATA after the given number of others, after the given number of bytes."""
        self._statements, self._after, self.cuts = statements, after, 0

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # Close one end when the other one is closed.
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._target)) as server:
            threading.Thread(target=_hand_on, args=(server, client), daemon=True).start()
            self._hand_on_to_server(client, server)

    def _hand_on_to_server(self, client: socket.socket, server: socket.socket) -> None:
        left: int | None = None
        while data := client.recv(CHUNK):
            if left is None and MARK in data:
                self._statements -= 1
                left = self._after if self._statements == 0 else None
            if left is not None and len(data) >= left:
                server.sendall(data[:left])
                self.cuts += 1
                for end in (client, server):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                    end.shutdown(socket.SHUT_RDWR)
                return
            left = None if left is None else left - len(data)
            server.sendall(data)


def _hand_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK * 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting(port: int) -> Iterator[Cutter]:
    """Run a cutter before a port."""
    cutter = Cutter(port)
    try:
        yield cutter
    finally:
        cutter.close()
