"""Send one request byte for byte, and read the answer, with limits on time and size.

Libraries correct a request before they send it. The doctor must also send invalid requests.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import SplitResult

SECONDS = 10.0  # for one exchange
MAX_ANSWER = 262_144  # bytes


class NoAnswer(Exception):
    """There is no HTTP answer. The message gives the reason in one line."""


@dataclass(frozen=True)
class Reply:
    """An answer. Names of `headers` are looked up without regard to case."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def exchange(server: SplitResult, request: bytes, method: str = "GET", seconds: float = SECONDS) -> Reply:
    """Send *request* to *server*, and return the first answer. Raises NoAnswer."""
    deadline = time.monotonic() + seconds
    try:
        with _connect(server, deadline) as connection:
            connection.sendall(request)
            return _parse(_receive(connection, deadline), method)
    except TimeoutError:
        raise NoAnswer(f"there was no complete answer within {seconds:g} seconds") from None
    except ssl.SSLError as error:
        raise NoAnswer(f"https failed: {getattr(error, 'verify_message', '') or error.reason}") from None
    except OSError as error:
        raise NoAnswer(f"the connection failed: {error.strerror or type(error).__name__}") from None


def _connect(server: SplitResult, deadline: float) -> socket.socket:
    secure = server.scheme == "https"
    port = server.port or (443 if secure else 80)
    connection = socket.create_connection((server.hostname or "", port), _left(deadline))
    if not secure:
        return connection
    try:
        return ssl.create_default_context().wrap_socket(connection, server_hostname=server.hostname)
    except BaseException:
        connection.close()
        raise


def _receive(connection: socket.socket, deadline: float) -> bytes:
    """Read until the answer is complete, the server closes the connection, or MAX_ANSWER bytes have arrived.

    Requests ask the server to close the connection, except the probe that asks for an upgrade to h2c.
    """
    received = bytearray()
    while len(received) < MAX_ANSWER:
        connection.settimeout(_left(deadline))
        try:
            piece = connection.recv(65_536)
        except ConnectionResetError:
            break
        if not piece:
            break
        received += piece
        if _is_complete(received):
            break
    return bytes(received)


def _is_complete(received: bytearray) -> bool:
    """Tell whether an answer with a Content-Length, or a chunked answer, is complete.

    Any other answer ends when the server closes the connection.
    """
    head, end, body = bytes(received).partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.split(b"\r\n")[1:]:
        name, _colon, value = line.partition(b":")
        if name.lower() == b"content-length" and value.strip().isdigit():
            return len(body) >= int(value)
        if name.lower() == b"transfer-encoding":
            return body.endswith(b"0\r\n\r\n")
    return False


def _parse(received: bytes, method: str) -> Reply:
    response = http.client.HTTPResponse(_Received(received), method=method)  # type: ignore[arg-type]
    try:
        response.begin()
        return Reply(response.status, response.headers, response.read(MAX_ANSWER))
    except (http.client.HTTPException, ValueError) as error:
        raise NoAnswer(f"the answer is not valid HTTP: {type(error).__name__}") from None


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Received:
    """The part of a socket that http.client reads from."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._octets)
