"""Send HTTP/1.1 requests over a plain socket with little processor time, to measure the server and not the client.

This client reads only the answers that our own servers send: with a Content-Length, in chunks, or without a body.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

SECONDS = 30.0  # limit for each connection attempt, send and receive
MAX_ANSWER = 1_000_000  # bytes
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """Status, head and body of an answer."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """Return the first header of this name, or an empty text."""
        found = re.search(rb"\r\n" + re.escape(name.encode()) + rb":[ \t]*([^\r]*)", self.head, re.IGNORECASE)
        return found[1].decode("latin-1") if found else ""


class Connection:
    """One connection, which sends one request after another and is opened again if the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def open(self) -> socket.socket:
        """Connect to the server, if not connected yet, and return the socket."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def ask(self, request: bytes) -> Answer:
        """Send *request* and return the answer. Raises OSError."""
        connection = self.open()
        connection.sendall(request)
        answer = self._receive(connection)
        if b"\r\nconnection: close" in answer.head.lower():
            self.close()
        return answer

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _receive(self, connection: socket.socket) -> Answer:
        received = b""
        while len(received) < MAX_ANSWER:
            octets = connection.recv(65_536)
            if not octets:
                raise ConnectionError(f"the server closed the connection after {received[:200]!r}")
            received += octets
            head, blank, body = received.partition(b"\r\n\r\n")
            if blank and _is_whole(head, body):
                return Answer(int(head[9:12]), head, body)
        raise ConnectionError("the answer is too long")


def _is_whole(head: bytes, body: bytes) -> bool:
    if length := _LENGTH.search(head):
        return len(body) >= int(length[1])
    return body.endswith(b"0\r\n\r\n") if _CHUNKED.search(head) else True


def get(path: str, port: int, headers: Mapping[str, str]) -> bytes:
    """Return a GET request."""
    return _head("GET", path, port, headers)


def post(path: str, port: int, form: str) -> bytes:
    """Return a POST request with an encoded form."""
    length = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(form)), "Accept": "*/*"}
    return _head("POST", path, port, length) + form.encode()


def _head(method: str, path: str, port: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{n}: {v}" for n, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
