"""Clients that keep a server waiting: they dribble, stay silent, do not read, or do not close."""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

DRIBBLE_SECONDS = 0.25  # between two bytes of one client
CONNECT_SECONDS = 10

HEAD = b"GET /healthz HTTP/1.1\r\nHost: h\r\nX-Slow: "
LINGERER = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


def dribblers(port: int, form: str) -> dict[str, bytes]:
    """Return how requests begin that then dribble: before the end of the head, and in a form posted to *form*."""
    post = f"POST {form} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    return {
        "heads": HEAD,
        "small bodies": f"{post}Content-Length: 9000\r\n\r\n".encode(),
        "large bodies": f"{post}Content-Length: 200000\r\n\r\n".encode(),
        "chunks": f"{post}Transfer-Encoding: chunked\r\n\r\nfff\r\n".encode(),
    }


@dataclass
class Crowd:
    """Connections to one port, which are kept until `close`. A lost one is made again, as an attacker would."""

    port: int
    beginnings: Sequence[bytes]
    dribble: bytes = b""
    receive_buffer: int = 0
    lost: int = 0
    _sockets: dict[socket.socket, bytes] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def connect(self, beginning: bytes) -> None:
        """Open one connection, and send how its request begins."""
        client = socket.socket()
        if self.receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        client.settimeout(CONNECT_SECONDS)
        client.connect(("127.0.0.1", self.port))
        client.sendall(beginning)
        self._sockets[client] = beginning

    def run(self) -> None:
        """Dribble until `close`."""
        while not self._over.wait(DRIBBLE_SECONDS):
            for client, beginning in list(self._sockets.items()):
                try:
                    client.sendall(self.dribble)
                except OSError:
                    self.lost += 1
                    client.close()
                    del self._sockets[client]
                    self.connect(beginning)

    def stop(self) -> None:
        """Stop dribbling."""
        self._over.set()

    def close(self) -> None:
        """Close every connection."""
        for client in self._sockets:
            client.close()


@contextmanager
def crowd(port: int, beginnings: Sequence[bytes], dribble: bytes = b"", receive_buffer: int = 0) -> Iterator[Crowd]:
    """Keep one connection open for each of *beginnings*; with *dribble*, send it on each again and again."""
    clients = Crowd(port, beginnings, dribble, receive_buffer)
    thread = threading.Thread(target=clients.run)
    try:
        for beginning in beginnings:
            clients.connect(beginning)
        if dribble:
            thread.start()
        yield clients
    finally:
        clients.stop()
        if thread.is_alive():
            thread.join()  # first: until then it makes lost connections again
        clients.close()


def seconds_until_closed(port: int, beginnings: Sequence[bytes], at_most: float, dribble: bytes = b"") -> list[float]:
    """Return for each beginning how long the server kept the connection; *at_most* where it has not closed it by then.

    *dribble* is sent twice a second. What the server answers is read and thrown away.
    """
    began = time.monotonic()
    with selectors.DefaultSelector() as selector:
        for number, beginning in enumerate(beginnings):
            client = socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS)
            client.sendall(beginning)
            selector.register(client, selectors.EVENT_READ, number)
        ends = [at_most] * len(beginnings)
        while selector.get_map() and (now := time.monotonic() - began) < at_most:
            for key, _events in selector.select(0.5):
                if not _received(key.fileobj):
                    ends[key.data] = now
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
            for key in list(selector.get_map().values()):
                _send(key.fileobj, dribble)
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
    return ends


def _received(client: object) -> bytes:
    assert isinstance(client, socket.socket)
    try:
        return client.recv(65_536)
    except OSError:
        return b""


def _send(client: object, data: bytes) -> None:
    assert isinstance(client, socket.socket)
    with contextlib.suppress(OSError):  # the next look at it sees the end
        client.sendall(data)
