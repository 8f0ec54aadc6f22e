"""Count how often a client asks a PostgreSQL server for an answer: each time, it waits for the network once."""

import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import make_url

QUERY = b"Q"  # messages of the protocol; a server keeps answers back until one of these asks for them
ANSWER_PLEASE = b"SH"  # Sync, Flush: if two follow each other, the second asks for nothing new
STARTUP = 3  # major version of the protocol, in the first message after those that ask for encryption


@dataclass
class RoundTrips:
    """`url` is the database's, by way of the proxy that counts."""

    url: str
    count: int = 0


@contextmanager
def counted(url: str, delay: float = 0) -> Iterator[RoundTrips]:
    """Count what goes to the database with this *url* through a proxy, which delays each answer by *delay* seconds."""
    target = make_url(url)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((target.host, target.port)) as server:
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=_pump, args=(server, self.request, delay), daemon=True)
                back.start()
                reader = _Reader()
                with suppress(OSError):
                    while octets := self.request.recv(65536):
                        trips.count += reader.questions_in(octets)
                        server.sendall(octets)
                with suppress(OSError):
                    server.shutdown(socket.SHUT_WR)
                back.join()

    class Proxy(socketserver.ThreadingTCPServer):
        daemon_threads = block_on_close = True

    with Proxy(("127.0.0.1", 0), Handler) as proxy:
        trips = RoundTrips(target.set(port=proxy.server_address[1]).render_as_string(hide_password=False))
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield trips
        finally:
            proxy.shutdown()
            thread.join()


class _Reader:
    """Finds the messages in what a client sends."""

    def __init__(self) -> None:
        self._rest, self._has_started, self._last = b"", False, QUERY

    def questions_in(self, octets: bytes) -> int:
        """Return how many messages that demand an answer end in *octets*."""
        self._rest += octets
        found = 0
        while len(self._rest) >= 8 - 3 * self._has_started:  # the shortest message
            (length,) = struct.unpack_from("!I", self._rest, int(self._has_started))
            whole = length + self._has_started
            if len(self._rest) < whole:
                break
            if self._has_started:
                kind, before = self._rest[:1], self._last
                found += kind == QUERY or (kind in ANSWER_PLEASE and before not in ANSWER_PLEASE)
                self._last = kind
            else:
                self._has_started = struct.unpack_from("!H", self._rest, 4)[0] == STARTUP
            self._rest = self._rest[whole:]
        return found


def _pump(source: socket.socket, target: socket.socket, delay: float) -> None:
    with suppress(OSError):
        while octets := source.recv(65536):
            time.sleep(delay)
            target.sendall(octets)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
