"""Requests as bytes, as no well-behaved client sends them, and what came back."""

import json
import re
import socket
from dataclasses import dataclass
from typing import Any

SECONDS = 15


@dataclass(frozen=True)
class Reply:
    """Status (0: the connection was closed without an answer), head and body of an answer."""

    status: int
    head: bytes
    body: bytes

    @property
    def told(self) -> dict[str, Any] | None:
        """What the application says it was told; None if it was not reached."""
        if self.status == 200 and self.body.startswith(b'{"reached"'):
            told: dict[str, Any] = json.loads(self.body)
            return told
        return None


def send(
    port: int, target: bytes, *lines: bytes, method: bytes = b"GET", host: bytes = b"", body: bytes = b""
) -> Reply:
    """Send one request and read its answer. *lines* are header lines, as they are."""
    host = host or b"127.0.0.1:%d" % port
    head = [method + b" " + target + b" HTTP/1.1", b"Host: " + host, b"Connection: close", *lines]
    return exchange(port, b"\r\n".join([*head, b"", b""]) + body)


def exchange(port: int, octets: bytes) -> Reply:
    """Send *octets* and read one response: up to its Content-Length, or until the connection ends."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        try:
            connection.sendall(octets)
            while not is_whole(received) and (part := connection.recv(65536)):
                received += part
        except (ConnectionError, TimeoutError):
            pass
    head, _blank, body = received.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    return Reply(status, head, dechunked(body) if b"transfer-encoding: chunked" in head.lower() else body)


def is_whole(received: bytes) -> bool:
    """Tell whether an answer with a Content-Length has come in full."""
    head, blank, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *([0-9]+)", head, re.IGNORECASE)
    return bool(blank) and length is not None and len(body) >= int(length[1])


def dechunked(body: bytes) -> bytes:
    """Return a chunked *body* as a whole (RFC 9112, section 7.1)."""
    whole = b""
    while body:
        size, _line, body = body.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        whole, body = whole + body[:length], body[length + 2 :]
        if not length:
            break
    return whole
