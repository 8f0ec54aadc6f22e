"""Write answers as gunicorn does, but send the head and the first piece of the body in one system call.

The checks are the same as gunicorn's: a header with a line break is never sent, and only the server sets the headers
about the connection and the framing of the body. Each header name is checked once, and the result is remembered. All
header values of an answer are checked together.
"""

from __future__ import annotations

from typing import Any

from gunicorn import SERVER
from gunicorn.http.wsgi import TOKEN_RE, Response
from gunicorn.util import hop_headers, http_date

from shared.clock import time_now

Headers = list[tuple[str, str]]

TOGETHER = 65_536  # bytes of a body that are copied to send them together with the head
_MAX_REMEMBERED, _MAX_REMEMBERED_LENGTH = 1_024, 64  # header names in a cache: applications may invent them
_ORDINARY, _LENGTH, _SPECIAL = 1, 2, 3

_kinds: dict[str, int] = {}
_date = (0, "")  # a second, and its HTTP date


class PlainResponse(Response):  # type: ignore[misc]
    """gunicorn's response, to a request that `shared.plain_requests` has read."""

    def __init__(self, request: Any, sock: Any, cfg: Any) -> None:
        super().__init__(request, sock, cfg)
        self.headers_sent: bool
        self._head = b""  # the head, from `send_headers` until it is sent
        self._is_file = False

    @property
    def is_too_short(self) -> bool:
        """Tell whether the body ended before its announced length.

        On the same connection, the client would read the next answer as the rest of this body.
        """
        if self.response_length is None or self._omits_body or self._is_file:  # sending a file checks its length
            return False
        return bool(self.sent < self.response_length)

    def process_headers(self, headers: Headers) -> None:
        """Check the headers of the application, and keep those that it may set. Raises InvalidResponseHeader."""
        self.headers, self.response_length = [], None
        length = length_if_ordinary(headers)
        if length is None:
            super().process_headers(headers)
            return
        self.headers = headers
        self.response_length = int(length) if length else None

    def send_headers(self) -> None:
        """Begin the answer. The head is sent together with the first piece of the body."""
        if not self.headers_sent:
            connection = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
            self._head = head_of(self.req.version[1], self.status, connection, self.headers, chunked=self.chunked)
            self.headers_sent = True

    def write(self, arg: bytes) -> None:
        """Send a piece of the body."""
        if not isinstance(arg, bytes):
            raise TypeError(f"{arg!r} is not a byte string")
        super().write(arg)
        self._flush()

    def write_file(self, respiter: Any) -> None:
        """Send a file."""
        self.send_headers()
        self._flush()
        self._is_file = self.sendfile(respiter)
        if not self._is_file:
            for piece in respiter:
                self.write(piece)

    def close(self) -> None:
        """End the answer."""
        self.send_headers()
        if self.chunked:
            self._send(b"0\r\n\r\n")
        self._flush()

    def _emit_body(self, data: bytes) -> None:
        self._send(b"%X\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def _send(self, data: bytes) -> None:
        if self._head and len(data) <= TOGETHER:
            data, self._head = self._head + data, b""
        self._flush()
        self.sock.sendall(data)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self.sock.sendall(head)


def head_of(minor: int, status: str, connection: str, headers: Headers, *, chunked: bool = False) -> bytes:
    """Return the head of an answer. *headers* have been checked."""
    global _date
    now = int(time_now())
    if now != _date[0]:
        _date = now, http_date(now)
    framing = "Transfer-Encoding: chunked\r\n" if chunked else ""
    rest = "".join([f"{name}: {value}\r\n" for name, value in headers])
    head = f"HTTP/1.{minor} {status}\r\nServer: {SERVER}\r\nDate: {_date[1]}\r\nConnection: {connection}\r\n{framing}"
    return f"{head}{rest}\r\n".encode("latin-1")


def length_if_ordinary(headers: Headers) -> str | None:
    """Return the Content-Length, or an empty text if there is none.

    Return None if some of *headers* are unusual and need gunicorn's own checks.
    """
    length = ""
    try:
        for name, value in headers:
            kind = _kinds.get(name) or _kind(name)
            if kind is not _ORDINARY:
                if kind is _SPECIAL or length or not (value.isascii() and value.isdigit()):
                    return None
                length = value
        values = "".join([value for _name, value in headers])
    except (AttributeError, TypeError, ValueError):  # not text, or not a pair
        return None
    return length if values.isascii() and values.isprintable() else None


def _kind(name: str) -> int:
    lower = name.lower()
    if not TOKEN_RE.fullmatch(name) or lower in hop_headers:
        return _SPECIAL
    kind = _LENGTH if lower == "content-length" else _ORDINARY
    if len(name) <= _MAX_REMEMBERED_LENGTH:
        if len(_kinds) >= _MAX_REMEMBERED:
            _kinds.clear()
        _kinds[name] = kind
    return kind
